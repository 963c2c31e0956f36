import type { Acquisition } from './acquisition.ts'
import { remove } from './decide.ts'
import type { LockState } from './format.ts'
import type { Subject } from './observer.ts'
import { title } from './say.ts'

/** Takes the lock over from a holder that is gone, or drops a waiter that is, and tells of it. */
export async function removeSubject(
  acquisition: Acquisition,
  subject: Subject,
  evidence: string,
): Promise<void> {
  const { lock, me, emit } = acquisition
  let before: LockState | undefined
  const after = await lock.change((state) => {
    const append = remove(state, subject, evidence, me.by)
    if (!append) return { done: state }
    before = state
    return { append }
  })
  // Not there any more when this came: released, withdrawn, or removed by another.
  if (!before) return
  await lock.removeBeats(subject.ticket)
  const { ticket, epoch } = subject
  if (epoch === undefined) {
    const waiter = before.queue.find(({ request }) => request.ticket === ticket)
    emit({
      event: 'waiter-dropped',
      lock: lock.name,
      waiter: waiter ? title(waiter.request) : ticket,
      evidence,
    })
    return
  }
  const hold = before.holders.find((other) => other.epoch === epoch)
  const ended = after.ended.find((other) => other.epoch === epoch)
  // Another observer may have been faster, or the holder itself with its release.
  if (!hold || ended?.how !== 'taken-over' || ended.by.pod.uid !== me.by.pod.uid) return
  emit({ event: 'lock-taken-over', lock: lock.name, epoch, from: title(hold.request), evidence })
}
