import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { beforeEach, describe, expect, it } from 'vitest'
import { paramEnv, resultEnv, workspaceEnv } from '../../src/contract.ts'
import { contract as retrieveContract } from '../../src/steps/artifact-retrieve/contract.ts'
import { contract as storeContract } from '../../src/steps/artifact-store/contract.ts'
import { layoutOf } from '../../src/volume/layout.ts'
import { identityOf } from '../support/step.ts'
import { makeTree, newFolder, readTree } from './support.ts'

const STEPS = { 'artifact-store': storeContract, 'artifact-retrieve': retrieveContract }
const RUN = 'uid-of-run-1'

interface Given {
  params: Record<string, string>
  args?: string[]
  workspaces?: Record<string, string>
}

/** A step's program as its container runs it. */
async function run(step: keyof typeof STEPS, { params, args = [], workspaces = {} }: Given) {
  const folder = await newFolder()
  const env: Record<string, string> = { ...identityOf('run-1', step.slice(9)), SHARED_WORKSPACE_LOG: 'json' }
  for (const [name, { default: fallback }] of Object.entries(STEPS[step].params)) {
    if (typeof fallback === 'string') env[paramEnv(name)] = fallback
  }
  for (const [name, value] of Object.entries(params)) env[paramEnv(name)] = value
  for (const [name, path] of Object.entries({ shared: root, ...workspaces })) env[workspaceEnv(name)] = path
  for (const name of Object.keys(STEPS[step].results)) env[resultEnv(name)] = join(folder, name)
  const program = [join(import.meta.dirname, '../../src/steps', step, 'main.ts'), ...args]
  const { exitCode, stdout, stderr } = await execa(process.execPath, program, {
    env,
    extendEnv: false,
    reject: false,
    stripFinalNewline: false,
  })
  const results: Record<string, string> = {}
  for (const name of await readdir(folder)) results[name] = await readFile(join(folder, name), 'utf8')
  const parsed = (text: string) =>
    text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  const printed = args.length > 0 && params['path'] === '-'
  return { exitCode, results, stdout, lines: parsed(printed ? stderr : stdout) }
}

let root: string
let content: string

beforeEach(async () => {
  root = await newFolder()
  content = layoutOf(root).content(RUN)
  await makeTree({ 'dist/app*': 'binary', 'dist/empty': null }, content)
})

describe('artifact-store and artifact-retrieve', () => {
  it('hand an artifact from task to task by its result', async () => {
    const stored = await run('artifact-store', { params: { path: 'dist', output: 'build' } })
    expect(stored).toMatchObject({ exitCode: 0, results: { size: '6', files: '1' } })
    const { artifact = '', ARTIFACT_OUTPUTS = '' } = stored.results
    const { uri, digest } = JSON.parse(ARTIFACT_OUTPUTS)
    expect(artifact).toBe(`${uri}@${digest}`)
    expect(artifact).toMatch(/^workspace:\/\/[0-9a-f-]{36}\/uid-of-run-1\/store\/build@sha256:[0-9a-f]{64}$/)
    const retrieved = await run('artifact-retrieve', { params: { path: 'copy' }, args: [artifact] })
    expect(retrieved).toMatchObject({
      exitCode: 0,
      results: { files: '1', ARTIFACT_INPUTS: ARTIFACT_OUTPUTS },
    })
    expect(await readTree(join(content, 'copy'))).toEqual(await readTree(join(content, 'dist')))
  })

  it('resolve relative paths inside the bound workspaces source and target', async () => {
    const [source, target] = [await makeTree({ 'out/x': 'x' }), await newFolder()]
    const stored = await run('artifact-store', {
      params: { path: 'out', output: 'build' },
      workspaces: { source },
    })
    expect(stored.exitCode).toBe(0)
    const args = ['store/build']
    const retrieved = await run('artifact-retrieve', { params: { path: '.' }, args, workspaces: { target } })
    expect(retrieved.exitCode).toBe(0)
    expect(await readdir(target)).toEqual(['x'])
  })

  it.each(['../../../etc', 'dist/../..', 'outside', 'outside/deeper'])(
    'refuse the relative path %s',
    async (path) => {
      await symlink('/etc', join(content, 'outside'))
      const stored = await run('artifact-store', { params: { path, output: 'build' } })
      expect(stored).toMatchObject({ exitCode: 33, results: {} })
      await run('artifact-store', { params: { path: 'dist', output: 'build' } })
      const retrieved = await run('artifact-retrieve', { params: { path }, args: ['store/build'] })
      expect(retrieved).toMatchObject({ exitCode: 33, results: {} })
    },
  )

  it('say what is wrong and give it its exit code', async () => {
    expect(await run('artifact-store', { params: { path: 'missing', output: 'x' } })).toMatchObject({
      exitCode: 37,
    })
    expect(await run('artifact-store', { params: { path: 'dist', output: '../x' } })).toMatchObject({
      exitCode: 64,
    })
    const missing = await run('artifact-retrieve', { params: { path: 'copy' }, args: ['nobody/nothing'] })
    expect(missing).toMatchObject({ exitCode: 30, results: {} })
    expect(missing.lines.at(-1)).toMatchObject({
      level: 'error',
      code: 'ARTIFACT_NOT_FOUND',
      hint: expect.any(String),
    })
    const skipped = await run('artifact-retrieve', {
      params: { path: 'copy', optional: 'true' },
      args: ['nobody/nothing'],
    })
    expect(skipped).toMatchObject({ exitCode: 0, results: { files: '0' } })
    expect(skipped.results).not.toHaveProperty('ARTIFACT_INPUTS')
  })

  it('print one file as it is, with the log on stderr', async () => {
    await writeFile(join(content, 'dist/app'), 'no line end')
    await run('artifact-store', { params: { path: 'dist', output: 'build' } })
    const params = { path: '-', files: 'app' }
    const printed = await run('artifact-retrieve', { params, args: ['store/build'] })
    expect(printed).toMatchObject({ exitCode: 0, stdout: 'no line end' })
    expect(printed.lines).toMatchObject([{ event: 'artifact-unpinned' }])
    expect(printed.results).toMatchObject({ files: '1', strategy: 'pvc' })
    const params2 = { path: '-', files: '**' }
    const more = await run('artifact-retrieve', { params: params2, args: ['store/build'] })
    expect(more).toMatchObject({ exitCode: 0, stdout: 'no line end' })
  })

  it('need no volume for another strategy, and say what is missing for it', async () => {
    const absolute = join(content, 'dist')
    const params = { path: absolute, output: 'build', strategy: 's3' }
    const stored = await run('artifact-store', { params, workspaces: { shared: '' } })
    expect(stored.exitCode).toBe(64)
    expect(stored.lines.at(-1)).toMatchObject({
      expected: expect.stringContaining('SHARED_WORKSPACE_ARTIFACT_S3_BUCKET'),
    })
    const relative = { ...params, path: 'dist' }
    const unbound = await run('artifact-store', { params: relative, workspaces: { shared: '' } })
    expect(unbound.lines.at(-1)).toMatchObject({ code: 'USAGE', expected: expect.stringContaining('source') })
  })

  it('fail where a strategy in the list is not configured: that is no outage to fall back from', async () => {
    const params = { path: join(content, 'dist'), output: 'build', strategy: 'coordinator,pvc' }
    const stored = await run('artifact-store', { params })
    expect(stored.exitCode).toBe(64)
    expect(stored.lines.at(-1)).toMatchObject({ code: 'USAGE' })
  })

  it('write ARTIFACT_INPUTS only where exactly one was retrieved', async () => {
    await run('artifact-store', { params: { path: 'dist', output: 'one' } })
    await run('artifact-store', { params: { path: 'dist', output: 'two' } })
    const both = await run('artifact-retrieve', {
      params: { path: 'copy' },
      args: ['store/one', 'store/two'],
    })
    expect(both.results).toEqual({ files: '1', strategy: 'pvc' })
  })

  it('retrieving from a folder that is no volume makes none of it', async () => {
    const retrieved = await run('artifact-retrieve', { params: { path: 'copy' }, args: ['store/build'] })
    expect(retrieved).toMatchObject({ exitCode: 20 })
    expect(await readdir(root)).toEqual(['pipelines'])
  })
})
