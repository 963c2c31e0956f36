import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Owner } from '../../src/identity.ts'
import { flock } from '../../src/platform/flock.ts'
import type { Answer, Kube, KubeObject } from '../../src/platform/kube.ts'
import { kubeLiveness, kubeStopping } from '../../src/volume/liveness-kube.ts'
import { localLiveness } from '../../src/volume/liveness-local.ts'
import { layoutOf } from '../../src/volume/layout.ts'
import { temporaryFolder } from '../support/folder.ts'

const RUN: Owner = { kind: 'PipelineRun', namespace: 'ns', name: 'run', uid: 'u1' }
const running = { conditions: [{ type: 'Succeeded', status: 'Unknown' }] }
const finished = { completionTime: 'now', conditions: [{ type: 'Succeeded', status: 'False' }] }
const object = (status: Record<string, unknown>, uid = 'u1', name = 'run', labels = {}): KubeObject => ({
  metadata: { uid, name, labels },
  status,
})
const pod = (uid: string, phase: string, taskRun = 'run-a'): KubeObject =>
  object({ phase }, uid, `pod-${uid}`, { 'tekton.dev/taskRun': taskRun })

interface World {
  run: Answer<KubeObject>
  pods?: Answer<KubeObject[]>
  taskRuns?: Answer<KubeObject[]>
}

// Answers that a real API gives rarely or never on demand; the real one is asked in test/e2e.
const kube = ({ run, pods = { found: [] }, taskRuns = { found: [] } }: World): Kube => ({
  get: () => Promise.resolve(run),
  list: (plural) => Promise.resolve(plural === 'pods' ? pods : taskRuns),
})

describe('liveness by the API', () => {
  it.each<[string, World, string]>([
    ['a running run lives', { run: { found: object(running) } }, 'alive'],
    [
      'a finished run with a pod left running lives',
      { run: { found: object(finished) }, pods: { found: [pod('p', 'Running')] } },
      'alive',
    ],
    [
      'a pod of an unreachable node counts as running',
      { run: { missing: true }, pods: { found: [pod('p', 'Unknown')] } },
      'alive',
    ],
    [
      'a pending pod can still start',
      { run: { found: object(finished) }, pods: { found: [pod('p', 'Pending')] } },
      'alive',
    ],
    [
      'a finished run with finished pods is gone',
      { run: { found: object(finished) }, pods: { found: [pod('p', 'Failed')] } },
      'gone',
    ],
    ['a deleted run without pods is gone', { run: { missing: true } }, 'gone'],
    ['a new run of the same name is somebody else', { run: { found: object(running, 'u2') } }, 'gone'],
    ['a run without a status yet lives', { run: { found: object({}) } }, 'alive'],
    ['being refused is no answer', { run: { denied: 'HTTP 403' } }, 'unknown'],
    [
      'being refused the pods is no answer',
      { run: { found: object(finished) }, pods: { denied: 'HTTP 403' } },
      'unknown',
    ],
    [
      'no answer in time is no answer',
      { run: { found: object(finished) }, pods: { denied: 'no answer within 10 s' } },
      'unknown',
    ],
  ])('%s', async (_, world, state) => {
    expect(await kubeLiveness(kube(world))(RUN)).toMatchObject({ state })
  })

  it('cannot tell of anything without an API', async () => {
    expect(await kubeLiveness(undefined)(RUN)).toMatchObject({ state: 'unknown' })
  })

  describe('from a finally task of the run itself', () => {
    const child = (task: string) => ({ kind: 'TaskRun', name: `run-${task}`, pipelineTaskName: task })
    const spec = { tasks: [{ name: 'a' }, { name: 'b' }], finally: [{ name: 'archive' }, { name: 'other' }] }
    const started = {
      ...running,
      pipelineSpec: spec,
      childReferences: ['a', 'archive', 'other'].map(child),
      skippedTasks: [{ name: 'b' }],
    }
    const taskRun = (task: string, status: object): KubeObject =>
      object({ ...status }, `uid-${task}`, `run-${task}`)
    const own = pod('own', 'Running', 'run-archive')
    const done: World = {
      run: { found: object(started) },
      pods: { found: [own, pod('p', 'Succeeded')] },
      taskRuns: { found: [taskRun('a', finished), taskRun('archive', running), taskRun('other', finished)] },
    }

    it('the rest is gone when every other task is finished or skipped and no other pod runs', async () => {
      expect(await kubeLiveness(kube(done))(RUN, 'own')).toMatchObject({ state: 'gone' })
    })

    it.each<[string, World]>([
      [
        'another finally task has not started',
        { ...done, run: { found: object({ ...started, childReferences: ['a', 'archive'].map(child) }) } },
      ],
      [
        'another finally task runs',
        {
          ...done,
          taskRuns: {
            found: [taskRun('a', finished), taskRun('archive', running), taskRun('other', running)],
          },
        },
      ],
      ['a pod of a finished task is left', { ...done, pods: { found: [own, pod('p', 'Running')] } }],
      [
        'a custom run is there',
        {
          ...done,
          run: {
            found: object({
              ...started,
              childReferences: [child('a'), child('archive'), { ...child('other'), kind: 'CustomRun' }],
            }),
          },
        },
      ],
    ])('the rest lives while %s', async (_, world) => {
      expect(await kubeLiveness(kube(world))(RUN, 'own')).toMatchObject({ state: 'alive' })
    })

    it('being refused the task runs is no answer', async () => {
      expect(
        await kubeLiveness(kube({ ...done, taskRuns: { denied: 'HTTP 403' } }))(RUN, 'own'),
      ).toMatchObject({ state: 'unknown' })
    })
  })
})

describe('what is stopping', () => {
  const told = (uid: string, phase: string): KubeObject => {
    const item = pod(uid, phase)
    return { ...item, metadata: { ...item.metadata, deletionTimestamp: 'now' } }
  }
  const run = { found: object(finished) }

  it('is every other pod that is being deleted and has not ended', async () => {
    const pods = {
      found: [told('a', 'Running'), told('b', 'Succeeded'), pod('c', 'Running'), told('own', 'Running')],
    }
    expect(await kubeStopping(kube({ run, pods }))(RUN, 'own')).toEqual({ pods: ['pod-a'] })
  })

  it('is unknown where the API does not say', async () => {
    expect(await kubeStopping(kube({ run, pods: { denied: 'HTTP 403' } }))(RUN, 'own')).toMatchObject({
      unknown: expect.stringContaining('HTTP 403'),
    })
    expect(await kubeStopping(undefined)(RUN, 'own')).toHaveProperty('unknown')
  })

  it('is nothing without a cluster', async () => {
    expect(await kubeStopping(undefined)({ ...RUN, kind: 'LocalRun' }, 'own')).toEqual({ pods: [] })
  })
})

describe('liveness of local runs', () => {
  const owner: Owner = { kind: 'LocalRun', namespace: 'local', name: 'run', uid: 'u1' }

  it('is the flock that the runner and its steps hold', async () => {
    const root = await temporaryFolder()
    const path = layoutOf(root).alive('u1')
    const liveness = localLiveness(root)
    expect(await liveness(owner)).toMatchObject({ state: 'gone' })
    await mkdir(dirname(path), { recursive: true })
    const handle = await open(path, 'w+')
    expect(await flock().tryLock(handle.fd, 'exclusive')).toBe(true)
    expect(await liveness(owner)).toMatchObject({ state: 'alive' })
    await handle.close()
    expect(await liveness(owner)).toMatchObject({ state: 'gone' })
  })

  it('cannot tell of runs in a cluster', async () => {
    expect(await localLiveness(await temporaryFolder())(RUN)).toMatchObject({ state: 'unknown' })
  })
})
