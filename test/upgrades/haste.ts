/** As the product's times, for tests that wait for silence; long enough for a machine that is busy. */
export const HASTE = {
  name: { everyMs: 300, ttlMs: 60_000, checkMs: 300, sureForMs: 50_000 },
  /** The same for a name that is to be taken over. */
  shortName: { everyMs: 300, ttlMs: 10_000, checkMs: 300, sureForMs: 8_000 },
  leading: { silentMs: 8_000, callMs: 15_000, turnMs: 30_000, lookMs: 200, askAfterMs: 2_000 },
  leader: { everyMs: 300, ttlMs: 10_000, checkMs: 300, sureForMs: 8_000 },
}
