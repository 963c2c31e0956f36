/** Puts what is to be run into `bin/`, and tries it. */
import { basename, join, relative } from 'node:path'
import { checkPath } from '../artifacts/safe-path.ts'
import { errno, WorkspaceError } from '../errors.ts'
import { startChild } from '../platform/child.ts'
import * as fs from '../platform/fs.ts'
import { ownEnv } from '../platform/host.ts'
import { pathsIn, titleOf, type ToolName } from './layout.ts'

const PROGRAM = 0o555
/** Lines of a failed verification that are told. */
const TOLD = 5

/**
 * Links the binaries of an installation in `folder`: those named, by their paths in the content; without a name, the
 * programs right in it and in its `bin`.
 * @returns their names
 * @throws WorkspaceError TOOL_BROKEN where one is missing, or there is none
 */
export async function expose(folder: string, tool: ToolName, wanted: readonly string[]): Promise<string[]> {
  const { content, bin } = pathsIn(folder)
  const paths = wanted.length > 0 ? wanted.map(checkPath) : await programsIn(content)
  if (paths.length === 0) throw broken(tool, 'a program to expose', 'none: name it in binaries')
  for (const path of paths) {
    const target = join(content, path)
    if (!(await isFile(target)))
      throw broken(tool, `a file ${path} in what was unpacked`, await namesIn(content))
    if (!(await isProgram(target))) await fs.chmod(target, PROGRAM)
    await linkOnce(relative(bin, target), join(bin, basename(path)), tool)
  }
  return paths.map((path) => basename(path)).sort()
}

async function programsIn(content: string): Promise<string[]> {
  const programs: string[] = []
  for (const folder of ['', 'bin']) {
    for (const { name } of await fs.list(join(content, folder))) {
      const path = join(folder, name)
      if ((await isFile(join(content, path))) && (await isProgram(join(content, path)))) programs.push(path)
    }
  }
  return programs
}

const isFile = async (path: string): Promise<boolean> => (await statOf(path))?.isFile() ?? false
const isProgram = async (path: string): Promise<boolean> => (((await statOf(path))?.mode ?? 0) & 0o111) !== 0

/** Of what a link points to; undefined where that is missing. */
async function statOf(path: string): Promise<fs.Stats | undefined> {
  try {
    return await fs.stat(path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errno(error) ?? '')) return undefined
    throw error
  }
}

async function linkOnce(target: string, path: string, tool: ToolName): Promise<void> {
  try {
    await fs.symlink(target, path)
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error
    throw broken(tool, 'binaries of different names', `${basename(path)} twice`)
  }
}

async function namesIn(folder: string): Promise<string> {
  const names = (await fs.list(folder)).map(({ name }) => name)
  return `${names.slice(0, 10).join(', ') || 'nothing'}${names.length > 10 ? ', …' : ''}`
}

export interface Trial {
  /** A line for `sh`; '' for none. */
  command: string
  timeoutMs: number
  signal: AbortSignal
}

/** Runs the command with the installation's binaries first in PATH. @throws WorkspaceError TOOL_BROKEN */
export async function tryOut(
  folder: string,
  tool: ToolName,
  { command, timeoutMs, signal }: Trial,
): Promise<void> {
  if (command === '') return
  const { content, bin } = pathsIn(folder)
  const { TOOL_AUTHORIZATION: _, ...env } = ownEnv()
  const lines: string[] = []
  const child = startChild({
    command: 'sh',
    args: ['-c', command],
    cwd: content,
    env: { ...env, PATH: `${bin}:${env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin'}` },
    inherit: [],
    onLine(line) {
      lines.push(line)
      if (lines.length > TOLD) lines.shift()
    },
  })
  const over = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  over.addEventListener('abort', () => child.kill(), { once: true })
  const exitCode = await child.ended
  signal.throwIfAborted()
  if (exitCode === 0) return
  const how = over.aborted ? `no end within ${timeoutMs / 1000} s` : `exit code ${exitCode}`
  throw broken(tool, `exit code 0 of: ${command}`, [how, ...lines].join('\n'))
}

const broken = (tool: ToolName, expected: string, found: string): WorkspaceError =>
  new WorkspaceError('TOOL_BROKEN', `${titleOf(tool)} was downloaded, and does not work`, {
    expected,
    found,
    hint: 'nothing was installed; look at binaries, strip, verify and platform, and at what the URL gives',
  })
