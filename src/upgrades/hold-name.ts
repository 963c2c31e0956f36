import { volumeLocks, type LockBackend } from '../locks/index.ts'
import type { Volume } from '../volume/volume.ts'
import type { ConsumerPlace } from './places.ts'

/**
 * The lock of a consumer's name. It lies in the consumer's folder, so that nothing is left of a consumer whose folder
 * goes, and an agent needs to write nowhere else.
 */
export function nameLocks(volume: Volume, { lock }: ConsumerPlace): LockBackend {
  return volumeLocks({ ...volume, layout: { ...volume.layout, lock: () => lock } })
}

export const nameLock = (fleet: string, consumer: string): string => `consumer.${fleet}.${consumer}`

/** What an agent promises for its name, and how it watches that. */
export const NAME_HOLDING = {
  everyMs: 5_000,
  // A volume may hang for a minute or two while its server is replaced: no worker has to stop for that.
  ttlMs: 180_000,
  checkMs: 5_000,
  sureForMs: 140_000,
}
