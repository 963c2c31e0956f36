import { mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'
import { identityOf, runStep, type StepOptions, type StepOutcome } from '../support/step.ts'

async function world() {
  const [root, resultsIn] = [await temporaryFolder(), await temporaryFolder()]
  const step = (name: string, options: Partial<StepOptions> = {}): Promise<StepOutcome> =>
    runStep(name, { workspaces: { shared: root }, resultsIn, ...options })
  return { root, step }
}

const asRoot = process.getuid?.() === 0

describe('workspace-init', () => {
  it('makes the marker, the probe record and the folders of the run', async () => {
    const { root, step } = await world()
    const { exitCode, results, line } = await step('workspace-init', {
      params: { agents: 'writer,reviewer' },
    })
    expect(exitCode).toBe(0)
    expect(results).toMatchObject({ 'run-path': 'pipelines/uid-of-run-1', 'run-id': 'uid-of-run-1' })
    expect(await readdir(join(root, results['run-path']!))).toEqual([
      'agent-artifacts',
      'final-output',
      'metadata',
      'workspace-content',
    ])
    expect(await readdir(join(root, 'agents'))).toEqual(['reviewer', 'writer'])
    expect(await readlink(join(root, 'by-name/test.run-1'))).toBe('../pipelines/uid-of-run-1')
    expect(line('volume-initialised')).toMatchObject({ volumeId: results['volume-id'] })
    const [probe] = await readdir(join(root, '.shared-workspace/probes'))
    const record = JSON.parse(
      await readFile(join(root, '.shared-workspace/probes', probe!), 'utf8'),
    ) as Record<string, unknown>
    expect(record).toMatchObject({
      v: 1,
      flock: 'excludes',
      link: 'excludes',
      exclusiveCreate: 'excludes',
      folderRename: 'excludes',
      caseSensitive: true,
      exclusionAcrossNodes: 'unknown',
    })
    expect(record['mount']).toMatchObject({
      type: expect.stringMatching(/./),
      options: expect.stringMatching(/rw/),
    })
  })

  it('is a no-op for the same run, also for many at once', async () => {
    const { root, step } = await world()
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => step('workspace-init')))
    expect(outcomes.map((outcome) => outcome.exitCode)).toEqual([0, 0, 0, 0])
    expect(new Set(outcomes.map((outcome) => outcome.results['volume-id'])).size).toBe(1)
    expect(outcomes.filter((outcome) => outcome.line('run-initialised'))).toHaveLength(1)
    await writeFile(join(root, 'pipelines/uid-of-run-1/workspace-content/work'), 'kept')
    const again = await step('workspace-init')
    expect(again.line('run-found')).toBeDefined()
    expect(again.events).toHaveLength(1)
    expect(await readFile(join(root, 'pipelines/uid-of-run-1/workspace-content/work'), 'utf8')).toBe('kept')
  })

  it('starts from a template, and keeps it for the next run', async () => {
    const { root, step } = await world()
    const template = await temporaryFolder()
    await mkdir(join(template, 'sub'))
    await writeFile(join(template, 'sub/run.sh'), '#!/bin/sh\n', { mode: 0o755 })
    await symlink('sub/run.sh', join(template, 'link'))
    const params = { template: 'base' }
    const first = await step('workspace-init', { params, workspaces: { shared: root, template } })
    expect(first.exitCode, first.stdout).toBe(0)
    const second = await step('workspace-init', { params, identity: identityOf('run-2', 't') })
    for (const run of ['run-1', 'run-2']) {
      const content = join(root, `pipelines/uid-of-${run}/workspace-content`)
      expect(await readFile(join(content, 'link'), 'utf8')).toBe('#!/bin/sh\n')
      expect(await readlink(join(content, 'link'))).toBe('sub/run.sh')
    }
    expect(second.line('run-initialised')).toMatchObject({
      template: first.line('run-initialised')!['template'],
    })
    const unknown = await step('workspace-init', {
      params: { template: 'other' },
      identity: identityOf('run-3', 't'),
    })
    expect(unknown).toMatchObject({ exitCode: 37 })
    expect(await readdir(join(root, 'pipelines'))).toHaveLength(2)
  })

  it('names everything that is wrong with its parameters at once', async () => {
    const { step } = await world()
    const { exitCode, line } = await step('workspace-init', { params: { agents: '../x' }, workspaces: {} })
    expect(exitCode).toBe(64)
    expect(line('USAGE')!['message']).toMatch(/agents.*"\.\.\/x".*the workspace shared is not bound/)
    expect(line('USAGE')!['hint']).toContain('tasks/workspace-init/0.1/README.md')
  })

  it('says that the volume is missing', async () => {
    const { root, step } = await world()
    const { exitCode, line } = await step('workspace-init', { workspaces: { shared: join(root, 'nowhere') } })
    expect(exitCode).toBe(20)
    expect(line('STORAGE_NOT_MOUNTED')).toMatchObject({
      exitCode: 20,
      hint: expect.stringContaining('bind the workspace'),
    })
  })

  it.runIf(asRoot)('says that it may not write, and leaves nothing', async () => {
    const { root, step } = await world()
    await import('node:fs/promises').then((fs) => fs.chmod(root, 0o755))
    const { exitCode, line } = await step('workspace-init', { uid: 65532, gid: 65532 })
    expect(exitCode).toBe(21)
    expect(line('NOT_WRITABLE')!['hint']).toContain('fsGroup')
    expect(await readdir(root)).toEqual([])
  })

  it.runIf(asRoot)('works for users of one group, whatever their umask', async () => {
    const { root, step } = await world()
    await import('node:fs/promises').then((fs) => fs.chown(root, 0, 0))
    const users = [
      { uid: 65532, gid: 0, umask: '077' },
      { uid: 0, gid: 0, umask: '022' },
      { uid: 1000660000, gid: 0, umask: '077' },
    ]
    for (const [i, user] of users.entries()) {
      const identity = identityOf(`run-${i}`, 't')
      expect((await step('workspace-init', { ...user, identity })).exitCode).toBe(0)
    }
    // Each sets a status of another's run, and closes it.
    for (const [i, user] of users.entries()) {
      const identity = identityOf(`run-${(i + 1) % 3}`, 't')
      expect(
        (await step('workspace-status', { ...user, identity, params: { phase: 'Running' } })).exitCode,
      ).toBe(0)
      expect((await step('workspace-archive', { ...user, identity })).exitCode).toBe(0)
    }
  })
})

describe('workspace-status', () => {
  it('sets and prints the status of the run and of its agents', async () => {
    const { step } = await world()
    await step('workspace-init')
    await step('workspace-status', { params: { phase: 'Running', message: 'at work' } })
    const { results } = await step('workspace-status', { params: { phase: 'Succeeded', agent: 'writer' } })
    expect(results).toEqual({ phase: 'Succeeded' })
    const read = await step('workspace-status', { params: { format: 'json' } })
    const document = read.events.find((event) => event['v'] === 1)
    expect(document).toMatchObject({
      v: 1,
      run: { kind: 'PipelineRun', namespace: 'test', name: 'run-1', uid: 'uid-of-run-1' },
      phase: 'Running',
      message: 'at work',
      closed: false,
      agents: { writer: { phase: 'Succeeded', by: 'run-1-task-1' } },
    })
    const people = await step('workspace-status')
    expect(people.stdout).toMatch(/run test\/run-1 .*\n.*Running.*at work\n\s*writer\s+Succeeded/)
  })

  it('keeps every status of many writers at once', async () => {
    const { root, step } = await world()
    await step('workspace-init')
    const agents = ['a', 'b', 'c', 'd', 'e']
    const set = (agent: string) => step('workspace-status', { params: { phase: 'Running', agent } })
    await Promise.all(agents.flatMap((agent) => [set(agent), set(agent)]))
    for (const agent of agents) {
      expect(await readdir(join(root, 'pipelines/uid-of-run-1/metadata/agents', agent))).toEqual([
        '0.0',
        '0.1',
      ])
    }
  })

  it('of a run that is not there is an error', async () => {
    const { step } = await world()
    await step('workspace-init')
    expect(await step('workspace-status', { params: { run: 'other' } })).toMatchObject({ exitCode: 50 })
    expect(await step('workspace-status', { params: { phase: 'Sleeping' } })).toMatchObject({ exitCode: 64 })
  })
})

describe('workspace-archive', () => {
  it('closes the run, and leaves it for maintenance where nothing tells that it is over', async () => {
    const { root, step } = await world()
    await step('workspace-init')
    const { results, line } = await step('workspace-archive', { params: { status: 'Failed' } })
    expect(results['archive-path']).toBe('pipelines/uid-of-run-1')
    expect(line('archive-deferred')!['why']).toContain('no Kubernetes API')
    const { events } = await step('workspace-status', { params: { format: 'json' } })
    expect(events.find((event) => event['v'] === 1)).toMatchObject({ phase: 'Failed', closed: true })
    // A status that comes late does not open it again.
    await step('workspace-status', { params: { phase: 'Running' } })
    const again = await step('workspace-archive')
    expect(again.line('run-closed')).toBeUndefined()
    expect(await readdir(join(root, 'pipelines'))).toEqual(['uid-of-run-1'])
  })

  it('refuses a status that Tekton did not replace, and leaves the run open', async () => {
    const { step } = await world()
    await step('workspace-init')
    expect(await step('workspace-archive', { params: { status: '$(tasks.status)' } })).toMatchObject({
      exitCode: 64,
    })
    const { events } = await step('workspace-status', { params: { format: 'json' } })
    expect(events.find((event) => event['v'] === 1)).toMatchObject({ closed: false })
  })

  it('moves a local run that is over, and says the same again when it is repeated', async () => {
    const { root, step } = await world()
    const identity = { ...identityOf('run-1', 't'), SHARED_WORKSPACE_LOCAL: '1' }
    await step('workspace-init', { identity })
    await writeFile(join(root, 'pipelines/uid-of-run-1/final-output/app'), 'x'.repeat(1000))
    const first = await step('workspace-archive', { identity })
    expect(first.results['archive-path']).toMatch(/^completed\/\d{4}-\d\d-\d\d\/uid-of-run-1$/)
    expect(Number(first.results['bytes'])).toBeGreaterThan(1000)
    const second = await step('workspace-archive', { identity })
    expect(second.results).toEqual(first.results)
    expect(await readFile(join(root, 'by-name/test.run-1/final-output/app'), 'utf8')).toHaveLength(1000)
  })

  it.runIf(asRoot)('moves what it may not read along, and says that its bytes are not counted', async () => {
    const { root, step } = await world()
    const identity = { ...identityOf('run-1', 't'), SHARED_WORKSPACE_LOCAL: '1' }
    const user = { uid: 65532, gid: 65532, identity }
    await step('workspace-init', user)
    const closed = 'workspace-content/closed'
    await mkdir(join(root, 'pipelines/uid-of-run-1', closed), { mode: 0o700 })
    await writeFile(join(root, 'pipelines/uid-of-run-1', closed, 'file'), 'closed')
    for (const _ of ['first', 'again']) {
      const { exitCode, results, line } = await step('workspace-archive', user)
      expect(exitCode).toBe(0)
      expect(line('warning')!['about']).toBe(join(root, results['archive-path']!, closed))
      expect(await readFile(join(root, results['archive-path']!, closed, 'file'), 'utf8')).toBe('closed')
    }
  })
})

describe('workspace-cleanup', () => {
  const at = { SHARED_WORKSPACE_LOCAL: '1' }
  const soon = { completedRetention: '1ms', staleTimeout: '1ms', trashRetention: '1ms', grace: '1ms' }

  it('only plans in a dry run, and plans the same as it does', async () => {
    const { root, step } = await world()
    await step('workspace-init', { identity: { ...identityOf('run-1', 't'), ...at } })
    const dry = await step('workspace-cleanup', { params: { ...soon, dryRun: 'true' }, identity: at })
    expect(dry.results).toEqual({ removed: '0', 'freed-bytes': '0', swept: '0', blocked: '0' })
    expect(await readdir(join(root, 'pipelines'))).toEqual(['uid-of-run-1'])
    const planned = dry.events.filter((event) => event['event'] === 'retention-planned')
    const real = await step('workspace-cleanup', { params: soon, identity: at })
    const done = real.events.filter((event) => event['event'] === 'retention-done')
    expect(done.map((event) => event['path'])).toEqual(planned.map((event) => event['path']))
    expect(await readdir(join(root, 'pipelines'))).toEqual([])
  })

  it('reports an open run of which nothing tells whether it is alive', async () => {
    const { root, step } = await world()
    await step('workspace-init')
    const { exitCode, line } = await step('workspace-cleanup', { params: soon })
    expect(exitCode).toBe(0)
    expect(line('retention-blocked')).toMatchObject({ path: 'pipelines/uid-of-run-1' })
    expect(await readdir(join(root, 'pipelines'))).toEqual(['uid-of-run-1'])
  })

  it('does nothing under a root without a marker', async () => {
    const { root, step } = await world()
    await mkdir(join(root, 'trash/2020-01-01/x'), { recursive: true })
    expect(await step('workspace-cleanup', { params: soon })).toMatchObject({ exitCode: 20 })
    expect(await readdir(join(root, 'trash/2020-01-01'))).toEqual(['x'])
  })
})
