import { forceRelease, release } from '../../locks/index.ts'
import { sleep } from '../../platform/clock.ts'
import { openLocks } from '../locks.ts'
import type { StepContext, StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

const ASK_EVERY_MS = 1000

export const run: StepRun<typeof contract> = async (context) => {
  const { params, identity, emit } = context
  const locks = await openLocks(context, { acquires: false })
  const { name, epoch, force: ticket, reason } = params
  if (ticket) {
    const forced = await forceRelease(locks, name, { identity, ticket, reason, emit })
    return { ...forced, epoch: forced.epoch ?? '' }
  }
  await untilStopped(context)
  return { ...(await release(locks, name, { identity, epoch, emit })) }
}

/** A finally task may run beside a cancelled step that has not stopped yet, and that still works under the lock. */
async function untilStopped({
  params,
  identity,
  stopping,
  emit,
  signal,
}: StepContext<typeof contract>): Promise<void> {
  for (let told = ''; ; await sleep(ASK_EVERY_MS, signal)) {
    const answer = await stopping(identity.run, identity.pod.uid)
    if ('unknown' in answer) {
      emit({
        event: 'warning',
        about: `lock ${params.name}`,
        detail: `cannot tell whether a cancelled step still works: ${answer.unknown}`,
      })
      return
    }
    if (answer.pods.length === 0) return
    if (told !== answer.pods.join()) emit({ event: 'release-waiting', lock: params.name, pods: answer.pods })
    told = answer.pods.join()
  }
}
