import { readdir, readFile, utimes, writeFile, rm, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { identityOf, runStep, type StepOutcome } from '../support/step.ts'

const LOCAL = { ...identityOf('run-1', 'build'), SHARED_WORKSPACE_LOCAL: '1' }
const DAY_S = 86_400

async function world() {
  const [root, work, resultsIn] = [await temporaryFolder(), await temporaryFolder(), await temporaryFolder()]
  const step = (name: string, params: Record<string, string> = {}): Promise<StepOutcome> =>
    runStep(name, { workspaces: { shared: root, source: work }, params, resultsIn, identity: LOCAL })
  await step('workspace-init')
  await writeFile(join(work, 'file'), 'content')
  await step('artifact-store', { path: '.', output: 'out' })
  return { root, step }
}

it('sweeps by the marks of its calls, a day apart each, and purges', async () => {
  const { root, step } = await world()
  await rm(join(root, 'artifacts'), { recursive: true })
  const blobs = join(root, 'store/blobs/sha256')
  expect((await step('workspace-cleanup')).results).toMatchObject({ swept: '0' })
  const marks = join(root, 'store/marks')
  const [record] = await readdir(marks)
  const { v, since } = JSON.parse(await readFile(join(marks, record!), 'utf8')) as {
    v: number
    since: Record<string, number>
  }
  expect(Object.keys(since)).toHaveLength(3)
  for (const digest of Object.keys(since)) since[digest]! -= 25 * 3.6e6
  await writeFile(join(marks, record!), JSON.stringify({ v, since }))
  expect((await step('workspace-cleanup')).results).toMatchObject({ swept: '3', 'freed-bytes': '0' })
  expect(await readdir(blobs)).toEqual([])
  const [day] = await readdir(join(root, 'trash'))
  const [batch] = await readdir(join(root, 'trash', day!))
  const content = join(root, 'trash', day!, batch!, 'content')
  const dayAgo = Date.now() / 1000 - 1.1 * DAY_S
  expect((await step('workspace-cleanup')).results).toMatchObject({ 'freed-bytes': '0' })
  await utimes(content, dayAgo, dayAgo)
  expect(Number((await step('workspace-cleanup')).results['freed-bytes'])).toBeGreaterThan(100)
  expect(await readdir(join(root, 'trash', day!))).toEqual([])
})

it('does all its work, and then fails where the scrub found damaged blobs', async () => {
  const { root, step } = await world()
  const blobs = join(root, 'store/blobs/sha256')
  const [hex] = await readdir(blobs)
  await rm(join(blobs, hex!))
  await writeFile(join(blobs, hex!), 'damaged')
  await mkdir(join(root, 'shared/cache/scope/key'), { recursive: true })
  await utimes(join(root, 'shared/cache/scope/key'), 0, 0)
  expect((await step('workspace-cleanup', { scrubBytes: '0' })).exitCode).toBe(0)
  const { exitCode, line } = await step('workspace-cleanup', { scrubBytes: '1Gi' })
  expect(exitCode).toBe(31)
  expect(line('DIGEST_MISMATCH')).toMatchObject({
    found: `sha256:${hex}`,
    hint: expect.stringContaining('quarantine'),
  })
  expect(line('blob-damaged')!['artifacts']).toEqual([
    expect.stringMatching(/^workspace:\/\/.*\/uid-of-run-1\/build\/out$/),
  ])
  expect(await readdir(join(root, 'shared/cache/scope'))).toEqual([])
  expect((await step('workspace-cleanup')).exitCode).toBe(0)
})

it('refuses a sweepAfter that a store under way could outlast', async () => {
  const { step } = await world()
  const { exitCode, line } = await step('workspace-cleanup', { sweepAfter: '59m' })
  expect(exitCode).toBe(64)
  expect(line('USAGE')!['message']).toContain('sweepAfter: expected at least 1h')
})
