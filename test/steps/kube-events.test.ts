import { describe, expect, it } from 'vitest'
import type { Identity, OwnerKind } from '../../src/identity.ts'
import type { KubeEvent } from '../../src/platform/kube.ts'
import { kubeEvents } from '../../src/steps/kube-events.ts'

const identity = (kind: OwnerKind): Identity => {
  const run = { kind, namespace: 'ci', name: 'build-7', uid: 'u7' }
  return { run, taskRun: run, task: 'build', pod: { name: 'build-7-pod', uid: 'p7' }, node: 'n1' }
}
const takenOver = {
  event: 'lock-taken-over',
  lock: 'deploy',
  epoch: 3,
  from: 'PipelineRun ci/build-6',
  evidence: 'it is finished',
} as const

describe('what Kubernetes is told', () => {
  it('is what was taken from somebody, of the run that took it', async () => {
    const posted: KubeEvent[] = []
    const kube = kubeEvents(identity('PipelineRun'), async (event) => posted.push(event))
    kube.tell(takenOver)
    kube.tell({ event: 'lock-released', lock: 'deploy', epoch: 3 })
    await kube.told()
    expect(posted).toEqual([
      {
        type: 'Warning',
        reason: 'LockTakenOver',
        message: 'lock deploy taken over from PipelineRun ci/build-6, epoch 3: it is finished',
        about: {
          apiVersion: 'tekton.dev/v1',
          kind: 'PipelineRun',
          namespace: 'ci',
          name: 'build-7',
          uid: 'u7',
        },
        pod: 'build-7-pod',
      },
    ])
  })

  it.each([
    [
      'LockForced',
      { event: 'lock-forced', lock: 'deploy', ticket: 't', holder: 'ci/build-6', reason: 'stuck' },
    ],
    ['LockLost', { event: 'lock-lost', lock: 'deploy', epoch: 3, why: 'it was taken over' }],
  ] as const)('is %s, too', (reason, event) => {
    const posted: KubeEvent[] = []
    kubeEvents(identity('Pod'), async (one) => posted.push(one)).tell(event)
    expect(posted).toMatchObject([{ reason, about: { apiVersion: 'v1', kind: 'Pod' } }])
  })

  it('is waited for, and stops nobody where it is refused', async () => {
    const { promise, reject } = Promise.withResolvers<never>()
    const kube = kubeEvents(identity('TaskRun'), () => promise)
    kube.tell(takenOver)
    let done = false
    const told = kube.told().then(() => (done = true))
    await Promise.resolve()
    expect(done).toBe(false)
    reject(new Error('HTTP 403'))
    await told
  })

  it('is nothing of a local run', () => {
    const posted: unknown[] = []
    kubeEvents(identity('LocalRun'), async (event) => posted.push(event)).tell(takenOver)
    expect(posted).toEqual([])
  })
})
