/** How often and how long. Users have no say in these; tests shorten them. All times in milliseconds. */
export const TUNING = {
  /** How often the head looks where the queue moves fast; the others half as often (pace.ts). */
  leastPollMs: 10,
  /** How often the head of the queue reads the log at the least. */
  headPollMs: 250,
  /** How often the others list the heartbeats at the least: with jitter under maxGapMs, or what they watch would not count. */
  waiterPollMs: 3_600,
  /** How often the others read the log although the heartbeats show no change in the queue. */
  waiterReadMs: 60_000,
  /** What a waiter promises. */
  waiterHeartbeat: { everyMs: 20_000, ttlMs: 60_000 },
  /** Two reads further apart than this have nothing watched between them. */
  maxGapMs: 5_000,
  /** How often an observer writes down what it has watched. */
  recordEveryMs: 60_000,
  /** How often 'lock-waiting' tells who holds the lock. */
  tellEveryMs: 15_000,
  /** The pause between two questions about the holder's liveness: at first, and at most. */
  holderAsk: { firstMs: 1_000, maxMs: 2_000 },
  /** The same about the waiter ahead. */
  waiterAsk: { firstMs: 5_000, maxMs: 20_000 },
  /** An event that a listing or an open misses for so long is missing. */
  missingMs: 5_000,
  /** A snapshot is published after so many events. */
  compactAfter: 16,
}

export type Tuning = typeof TUNING
