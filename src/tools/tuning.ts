/** How often and how long. Users have no say in these; tests shorten them. All times in milliseconds. */
export const TUNING = {
  /** A connection without a byte for so long is cut. */
  idleMs: 30_000,
  /** The pause before a source is asked again; it doubles each time. */
  retryMs: 250,
  /** How often in a row a source may fail without a byte. */
  tries: 5,
  /** How often whoever downloads tells how far it is. */
  progressMs: 1_000,
  /** How often those who wait look. */
  pollMs: 1_000,
  /** If nothing was told for so long, those who wait ask for the lock. */
  quietMs: 6_000,
  /** How often they print how far the download is. */
  tellMs: 5_000,
  /** A writer that stood still for so long asks whether it still has the lock. */
  stoodMs: 5_000,
  /** How long the command that verifies a tool may take. */
  verifyMs: 120_000,
}

export type Tuning = typeof TUNING
