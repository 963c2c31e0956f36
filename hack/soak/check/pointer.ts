/**
 * The fenced pointer of a lock: what each hold read under its fence is what the last write before it left, of those
 * whose writer was told that it was published. What a writer was not told of may be there or not.
 */
import type { Call } from '../history.ts'
import { epochIn } from '../texts.ts'
import { ended, succeeded, type Left, type Violation } from './types.ts'

export interface PointerCalls {
  reads: readonly Call[]
  writes: readonly Call[]
  looks: readonly Call[]
  left: readonly Left[]
}

export function checkPointer(lock: string, calls: PointerCalls): Violation[] {
  return [...lostUpdates(lock, calls), ...wentBack(lock, calls), ...changed(lock, calls)]
}

function* lostUpdates(lock: string, { reads, writes }: PointerCalls): Generator<Violation> {
  const begun = new Map(writes.map((write) => [write.text, write]))
  const published = writes.filter(succeeded).sort(byEpoch)
  for (const read of reads.filter(succeeded)) {
    const text = read.answer!.text ?? ''
    const source = begun.get(text)
    if (text !== '' && (source === undefined || source.invoked > ended(read))) {
      yield {
        rule: 'no lost update',
        lock,
        what: `epoch ${read.epoch} read ${text}, which nobody had written`,
        evidence: [read],
      }
      continue
    }
    // The newest one that this epoch has to have read.
    const last = published.findLast((write) => write.epoch! < read.epoch!)
    if (last && last.epoch! > epochIn(text)) {
      const what = `${last.text} was published, and then epoch ${read.epoch} read ${text || 'nothing'}`
      yield { rule: 'no lost update', lock, what, evidence: [last, read] }
    }
    if (epochIn(text) >= read.epoch!) {
      const what = `epoch ${read.epoch} read ${text}, of an epoch after it`
      yield { rule: 'fenced off', lock, what, evidence: [read] }
    }
  }
}

const byEpoch = (a: Call, b: Call): number => a.epoch! - b.epoch!

/** Whoever looks later sees the same entry or a newer one: what lower epochs publish late is seen by nobody. */
function* wentBack(lock: string, { looks, writes }: PointerCalls): Generator<Violation> {
  const seen = [...looks, ...writes].filter((call) => succeeded(call) && call.answer!.entry)
  const byEnd = seen.toSorted((a, b) => ended(a) - ended(b)).values()
  let next = byEnd.next().value
  let newest: Call | undefined
  for (const look of looks.filter(succeeded).sort((a, b) => a.invoked - b.invoked)) {
    for (; next && ended(next) < look.invoked; next = byEnd.next().value) {
      if (!newest || compareEntries(next.answer!.entry!, newest.answer!.entry!) > 0) newest = next
    }
    if (newest && compareEntries(look.answer!.entry ?? '', newest.answer!.entry!) < 0) {
      const what = `entry ${newest.answer!.entry} was there, and then ${look.worker} found ${look.answer!.entry || 'none'} to be the newest`
      yield { rule: 'fenced off', lock, what, evidence: [newest, look] }
    }
  }
}

function compareEntries(a: string, b: string): number {
  const [[epochA = 0, nA = 0], [epochB = 0, nB = 0]] = [a.split('.').map(Number), b.split('.').map(Number)]
  return epochA - epochB || nA - nB
}

/** An entry that was published, or seen, is still there and the same at the end. */
function* changed(lock: string, { looks, writes, left }: PointerCalls): Generator<Violation> {
  const texts = new Map(left.map(({ name, text }) => [name, text]))
  for (const call of [...looks, ...writes].filter(succeeded)) {
    const name = call.answer!.entry
    const text = call.kind === 'look' ? call.answer!.text : call.text
    if (!name || texts.get(name) === text) continue
    const what = `entry ${name} was ${JSON.stringify(text)}, and in the end ${JSON.stringify(texts.get(name))}`
    yield { rule: 'what is published stays', lock, what, evidence: [call] }
  }
}
