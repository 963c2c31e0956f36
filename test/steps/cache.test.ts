/** cache-restore and cache-save as their containers run them. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { identityOf, runStep } from '../support/step.ts'
import { makeTree, newFolder, readTree } from '../artifacts/support.ts'

const PUSH = {
  PAC_REPO_URL: 'https://github.com/acme/shop',
  PAC_BRANCH: 'refs/heads/main',
  PAC_EVENT_TYPE: 'push',
}
const PULL = { ...PUSH, PAC_BRANCH: 'main', PAC_EVENT_TYPE: 'pull_request', PAC_PULL_REQUEST: '7' }
const KEY = "npm-{{hashFiles('**/package-lock.json')}}"

let shared: string
let source: string
let runs = 0
beforeEach(async () => {
  shared = await newFolder()
  source = await makeTree({ 'package-lock.json': 'lock', 'cache/a': 'one', 'cache/bin*': 'run' })
})

interface Given {
  params?: Record<string, string>
  env?: Record<string, string>
}

/** A step of another run each time. */
async function cacheStep(step: 'restore' | 'save', { params = {}, env = {} }: Given = {}) {
  const resultsIn = await newFolder()
  return runStep(`cache-${step}`, {
    params: { path: 'cache', key: KEY, ...params },
    workspaces: { shared, source },
    identity: { ...identityOf(`run-${runs++}`, step), ...env },
    resultsIn,
  })
}

describe('cache-save and cache-restore', () => {
  it('hand a folder from run to run', async () => {
    const before = await readTree(join(source, 'cache'))
    const missed = await cacheStep('restore')
    expect(missed).toMatchObject({ exitCode: 0, results: { hit: 'none', files: '0', bytes: '0' } })
    expect(missed.results).not.toHaveProperty('digest')
    const saved = await cacheStep('save', { params: { key: missed.results['key']! } })
    expect(saved).toMatchObject({ exitCode: 0, results: { saved: 'true', files: '2', bytes: '6' } })
    await rm(join(source, 'cache'), { recursive: true })
    const restored = await cacheStep('restore')
    const { key, digest } = saved.results
    expect(key).toMatch(/^npm-[0-9a-f]{32}$/)
    expect(restored).toMatchObject({
      exitCode: 0,
      results: { hit: 'exact', key, 'matched-key': key, digest, files: '2', bytes: '6' },
    })
    expect(await readTree(join(source, 'cache'))).toEqual(before)
    // Where the content fits only one kind of machine, the key says which.
    const [kept] = await readdir(join(shared, 'shared/cache/default'))
    expect(kept).toMatch(new RegExp(`^linux-(amd64|arm64)-${key}$`))
  })

  it('give the newest by a prefix where the files have changed, and then save the new key', async () => {
    const saved = await cacheStep('save')
    await writeFile(join(source, 'package-lock.json'), 'another')
    const restored = await cacheStep('restore', { params: { path: 'other', restoreKeys: 'go-\nnpm-\n' } })
    expect(restored.results).toMatchObject({ hit: 'partial', 'matched-key': saved.results['key'] })
    expect(restored.results['key']).not.toBe(saved.results['key'])
    expect((await cacheStep('save')).results).toMatchObject({ saved: 'true', key: restored.results['key'] })
    expect((await cacheStep('restore', { params: { path: 'third' } })).results).toMatchObject({
      hit: 'exact',
    })
  })

  it('let a pull request read its target branch, and write only its own', async () => {
    await cacheStep('save', { params: { key: 'k-1' }, env: PUSH })
    const wanted = { params: { path: 'new', key: 'k-2', restoreKeys: 'k-' }, env: PULL }
    expect((await cacheStep('restore', wanted)).results).toMatchObject({
      hit: 'partial',
      'matched-key': 'k-1',
    })
    await cacheStep('save', { params: { key: 'k-2' }, env: PULL })
    const again = { ...wanted, params: { ...wanted.params, path: 'newer' } }
    expect((await cacheStep('restore', again)).results).toMatchObject({ hit: 'exact' })
    const others = [PUSH, { ...PULL, PAC_PULL_REQUEST: '8' }, { ...PUSH, PAC_BRANCH: 'refs/heads/dev' }, {}]
    const seen: (string | undefined)[] = []
    for (const env of others) {
      const { results } = await cacheStep('restore', {
        params: { path: `p-${seen.length}`, key: 'k-2' },
        env,
      })
      seen.push(results['hit'])
    }
    expect(seen).toEqual(['none', 'none', 'none', 'none'])
    expect((await readdir(join(shared, 'shared/cache'))).sort()).toEqual([
      'github.com_2facme_2fshop_217',
      'github.com_2facme_2fshop_23main',
    ])
  })

  it('share what their parameters say', async () => {
    await cacheStep('save', { params: { scope: 'team', platform: 'false', key: 'm2' }, env: PUSH })
    expect(await readdir(join(shared, 'shared/cache'))).toEqual(['team'])
    expect(await readdir(join(shared, 'shared/cache/team'))).toEqual(['m2'])
    const params = { path: 'new', key: 'm2', platform: 'false', fallbackScopes: 'other\nteam' }
    expect((await cacheStep('restore', { params, env: PULL })).results['hit']).toBe('exact')
  })

  it('do only what the policy says', async () => {
    const refused = await cacheStep('save', { params: { policy: 'read' } })
    expect(refused).toMatchObject({ exitCode: 0, results: { saved: 'false' } })
    expect(refused.line('cache-skipped')).toMatchObject({ why: 'the policy is read' })
    expect((await cacheStep('save', { params: { policy: 'write' } })).results['saved']).toBe('true')
    const write = { params: { path: 'new', policy: 'write' } }
    expect((await cacheStep('restore', write)).results).toMatchObject({
      hit: 'none',
      key: expect.stringMatching(/^npm-/),
    })
    const read = { params: { path: 'new', policy: 'read' } }
    expect((await cacheStep('restore', read)).results['hit']).toBe('exact')
  })

  it('never fail for what a cache may lack', async () => {
    const nothing = await cacheStep('save', { params: { path: 'missing' } })
    expect(nothing).toMatchObject({ exitCode: 0, results: { saved: 'false' } })
    await cacheStep('save')
    const [blob] = await readdir(join(shared, 'store/blobs/sha256'))
    await rm(join(shared, 'store/blobs/sha256', blob!))
    const missed = await cacheStep('restore', { params: { path: 'new' } })
    expect(missed).toMatchObject({ exitCode: 0, results: { hit: 'none' } })
    expect(missed.line('cache-damaged')).toMatchObject({ why: expect.stringContaining(blob!) })
    expect((await cacheStep('save')).results['saved']).toBe('true')
    await mkdir(join(source, 'full'))
    await writeFile(join(source, 'full/a'), 'mine')
    const conflicting = await cacheStep('restore', { params: { path: 'full' } })
    expect(conflicting).toMatchObject({ exitCode: 0, results: { hit: 'none' } })
    expect(await readFile(join(source, 'full/a'), 'utf8')).toBe('mine')
  })

  it('keep within the size that is given', async () => {
    await cacheStep('save', { params: { key: 'a' } })
    await writeFile(join(source, 'cache/a'), 'two')
    const saved = await cacheStep('save', { params: { key: 'b', maxSize: '2000' } })
    expect(saved.results['saved']).toBe('true')
    expect(saved.line('cache-evicted')).toMatchObject({ key: expect.stringMatching(/-a$/) })
  })

  it.each([
    ['a hash of nothing', 37, { key: "k-{{hashFiles('nothing')}}" }],
    ['an unknown expression', 64, { key: 'k-{{hash}}' }],
    ['a key that is no name', 33, { key: 'a/b' }],
    ['a scope that is no name', 64, { scope: '../up' }],
    ['a path that leads out', 33, { path: '../out' }],
    ['a policy that is none', 64, { policy: 'pull' }],
  ])('say what is wrong with %s', async (_, exitCode, params) => {
    for (const step of ['restore', 'save'] as const) {
      const outcome = await cacheStep(step, { params })
      expect(outcome).toMatchObject({ exitCode, results: {} })
      expect(outcome.events.at(-1)).toMatchObject({ level: 'error', hint: expect.any(String) })
    }
  })

  it('need no sources for a key without hashes, nor a volume that was made before', async () => {
    const folder = join(await newFolder(), 'cache')
    const common = { workspaces: { shared }, resultsIn: await newFolder() }
    const params = { path: folder, key: 'go-1' }
    expect(await runStep('cache-restore', { ...common, params })).toMatchObject({
      exitCode: 0,
      results: { hit: 'none' },
    })
    await makeTree({ x: 'x' }, folder)
    expect(await runStep('cache-save', { ...common, params })).toMatchObject({ results: { saved: 'true' } })
  })
})
