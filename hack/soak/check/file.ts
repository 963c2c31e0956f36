/**
 * The plain file under a lock, which nothing fences. What a hold finds in it is what the last hold left, as long as
 * each of them kept its promises: who was stopped or killed while it wrote may have written at any time since.
 */
import type { Call } from '../history.ts'
import { ended, succeeded, type Hold, type Violation } from './types.ts'

export function checkFile(
  lock: string,
  holds: readonly Hold[],
  { loads, saves }: { loads: readonly Call[]; saves: readonly Call[] },
): Violation[] {
  const holdOf = new Map(holds.map((hold) => [hold.epoch, hold]))
  const kept = (call: Call): boolean =>
    succeeded(call) && ended(call) <= (holdOf.get(call.epoch!)?.until ?? 0)
  const good = saves.filter(kept).sort((a, b) => ended(a) - ended(b))
  const rogue = saves.filter((save) => !kept(save))
  const violations: Violation[] = []
  for (const load of loads.filter(kept)) {
    const last = good.findLast((save) => ended(save) < load.invoked)
    const disturbed = rogue.some((save) => {
      // One that did not come back may be carried out at any time.
      const end = succeeded(save) ? ended(save) : Infinity
      return save.invoked < load.returned! && end > (last?.invoked ?? 0)
    })
    const found = load.answer!.text ?? ''
    if (disturbed || found === (last?.text ?? '')) continue
    const what = `${last?.text ?? 'nothing'} was saved, and then epoch ${load.epoch} found ${found || 'nothing'}`
    violations.push({ rule: 'a file under the lock', lock, what, evidence: [last, load] })
  }
  return violations
}
