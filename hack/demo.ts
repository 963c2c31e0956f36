/**
 * `./run demo [--source FOLDER-OR-TARBALL] [--volume FOLDER]`: the main job on a local folder, without a cluster:
 * a pipeline on one shared volume, an artifact brought back, the lock of a killed run taken over, the status, and
 * maintenance.
 */
import { spawn } from 'node:child_process'
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { writeSourceTarball } from '../images/source.ts'
import { formatReport, type RunReport } from '../src/local/report.ts'
import { runPipeline } from '../src/local/run.ts'
import { progressHere } from '../src/local/progress.ts'
import { describeError } from '../src/events.ts'
import { toWorkspaceError, WorkspaceError } from '../src/errors.ts'

const root = join(import.meta.dirname, '..')
const say = (line: string): void => console.log(line)
const title = (text: string): void => say(`\n== ${text}`)

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: process.argv.slice(2).filter((arg) => arg !== '--'),
    options: { source: { type: 'string' }, volume: { type: 'string', default: join(root, '.demo/volume') } },
  })
  const volume = resolve(values.volume)
  if (values.volume === join(root, '.demo/volume'))
    await rm(join(root, '.demo'), { recursive: true, force: true })
  await mkdir(volume, { recursive: true })
  const source = values.source ? resolve(values.source) : await ownSource(join(volume, '..'))

  title(`A pipeline on one shared volume: ${source} is built, checked and packed, on ${volume}`)
  const demo = await run(volume, 'shared-workspace-demo', { source })

  title('An artifact of that run, brought back by its name and verified')
  const restored = resolve(volume, '..', 'restored')
  await rm(restored, { recursive: true, force: true })
  await run(volume, task('artifact-retrieve'), {
    artifacts: ['package/package'],
    run: demo.name,
    path: restored,
  })
  say(`restored: ${(await readdir(restored)).map((name) => join(restored, name)).join(', ')}`)

  title('A run is killed while it holds the lock; nobody cleans up, and the next one gets it')
  await killHolder(volume)
  await run(volume, join(root, 'hack/demo/lock.yaml'), { seconds: '0' })

  title('The status of the run')
  await run(volume, task('workspace-status'), { run: demo.uid })

  title('Maintenance: the finished run is archived')
  await run(volume, task('workspace-cleanup'), {})

  title('What is on the volume now')
  for (const line of await outline(volume)) say(line)
  return 0
}

/** The catalog's Tasks run by themselves too. */
const task = (name: string): string => join(root, 'tasks', name, '0.1', `${name}.yaml`)

async function run(
  volume: string,
  pipeline: string,
  params: Record<string, string | string[]>,
): Promise<RunReport> {
  const report = await runPipeline({
    pipeline,
    workspaces: { shared: volume },
    params,
    progress: progressHere(say),
  })
  if (pipeline === 'shared-workspace-demo') say(`\n${formatReport(report)}`)
  if (report.exitCode !== 0) throw new WorkspaceError('INTERNAL', `${report.name} ended as ${report.status}`)
  return report
}

async function ownSource(folder: string): Promise<string> {
  const path = join(folder, 'source.tar.gz')
  await writeSourceTarball(path)
  return path
}

/** Starts a run that holds the lock for an hour, and kills all of it once it is inside. */
async function killHolder(volume: string): Promise<void> {
  const program = [join(root, 'src/local/main.ts'), join(root, 'hack/demo/lock.yaml')]
  const args = [...program, '--workspace', `shared=${volume}`, '--param', 'seconds=3600']
  const holder = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((done) => holder.on('close', done))
  let sleeper: number | undefined
  for await (const chunk of holder.stdout) {
    process.stdout.write(String(chunk))
    if (!String(chunk).includes('inside the lock')) continue
    sleeper = await childOf(holder.pid!)
    say(`kill -9 ${holder.pid} ${sleeper ?? ''}`)
    holder.kill('SIGKILL')
    // A killed runner leaves its step running, as a lost node leaves its pods: the lock is free when that is gone too.
    if (sleeper) process.kill(-sleeper, 'SIGKILL')
  }
  await ended
}

/** The one child of a process: the step, which leads a process group of its own. */
async function childOf(pid: number): Promise<number | undefined> {
  const { readFile } = await import('node:fs/promises')
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return Number(text.trim().split(' ')[0]) || undefined
}

/** The volume's folders, to a depth that fits a screen. */
async function outline(folder: string, depth = 0): Promise<string[]> {
  const lines: string[] = []
  for (const name of (await readdir(folder)).sort()) {
    const path = join(folder, name)
    const isFolder = (await stat(path)).isDirectory()
    lines.push(`${'  '.repeat(depth)}${name}${isFolder ? '/' : ''}`)
    if (isFolder && depth < 2 && name !== 'blobs') lines.push(...(await outline(path, depth + 1)))
  }
  return lines
}

try {
  process.exitCode = await main()
} catch (error) {
  const failure = toWorkspaceError(error)
  say(describeError(failure))
  process.exitCode = failure.exitCode
}
