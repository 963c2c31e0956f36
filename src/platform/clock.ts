import { setTimeout as delay } from 'node:timers/promises'

/** Wall-clock time as ISO 8601, for people to read; never for deciding anything. */
export const timestamp = (): string => new Date().toISOString()

/** Wall-clock milliseconds since the epoch: only for ages, of hours and days in retention and of files at rest. */
export const wallNow = (): number => Date.now()

/** Milliseconds on this process's monotonic clock: the only clock that expiry may count on. */
export const monotonic = (): number => performance.now()

/** Waits; rejects with the signal's reason when it is aborted. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal ? { signal } : {})
}

/** `ms` ± 25 %, so that those who wait do not march in step. */
export const jitter = (ms: number): number => ms * (0.75 + Math.random() / 2)
