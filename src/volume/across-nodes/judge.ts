/** What two sides saw, as a verdict. Pure, and the same for both. */
import { namesFor, WAY_TITLES, wayOf, type Seen } from './races.ts'

/** What each side has seen, by side. */
export interface Evidence {
  seen: readonly [Seen, Seen]
  /** How many races there were by each of the ways. */
  races: number
  slowestAnswerMs: number
}

/** What a lock's log can wait for: longer than that, and an event counts as missing. */
const MAX_ANSWER_MS = 10_000

/** Why locks do not exclude; empty where they do. */
export function violations({ seen, races, slowestAnswerMs }: Evidence): string[] {
  const reasons: string[] = []
  const outcomes = namesFor(races).map((name) => ({ name, ...outcomeOf(name, seen) }))
  for (const [way, title] of Object.entries(WAY_TITLES)) {
    const these = outcomes.filter(({ name }) => wayOf(name) === way)
    const twice = these.filter(({ winners }) => winners.length > 1).length
    const wrong = these.filter(
      ({ winners, owners }) => winners.length === 1 && owners !== `${winners[0]}`,
    ).length
    const nobody = these.filter(({ winners }) => winners.length === 0).length
    if (twice > 0) reasons.push(`${title}: ${twice} of ${races} names were taken by both nodes`)
    if (wrong > 0)
      reasons.push(`${title}: ${wrong} of ${races} names do not show both nodes what the winner put there`)
    if (nobody > 0) reasons.push(`${title}: ${nobody} of ${races} names were taken by neither node`)
  }
  if (slowestAnswerMs > MAX_ANSWER_MS) {
    const [found, bound] = [slowestAnswerMs / 1000, MAX_ANSWER_MS / 1000]
    reasons.push(
      `listing: it took ${found.toFixed(1)} s until names of one node showed on the other, at most ${bound} s are allowed`,
    )
  }
  return reasons
}

/** The sides that took the name, and whose content both see in it (comma-separated where they differ). */
function outcomeOf(name: string, seen: Evidence['seen']): { winners: number[]; owners: string } {
  const winners = [0, 1].filter((side) => seen[side]!.won.includes(name))
  const owners = [...new Set(seen.map((one) => one.owners[name]))].join()
  return { winners, owners }
}
