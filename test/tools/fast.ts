import { TUNING as LOCK_TUNING } from '../../src/locks/tuning.ts'
import { TUNING } from '../../src/tools/tuning.ts'

/** As the product's, but for people in a hurry. */
export const FAST = {
  ...TUNING,
  idleMs: 2_000,
  retryMs: 5,
  progressMs: 50,
  pollMs: 30,
  quietMs: 600,
  tellMs: 100,
}
export const FAST_LOCKING = {
  tuning: {
    ...LOCK_TUNING,
    leastPollMs: 10,
    headPollMs: 10,
    waiterPollMs: 30,
    waiterReadMs: 300,
    waiterHeartbeat: { everyMs: 200, ttlMs: 6_000 },
    holderAsk: { firstMs: 20, maxMs: 40 },
    waiterAsk: { firstMs: 20, maxMs: 40 },
  },
  // Short enough for a test to wait for, long enough for a machine that has much else to do.
  holding: { everyMs: 200, ttlMs: 6_000, checkMs: 50, sureForMs: 5_000 },
}
