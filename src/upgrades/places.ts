/** The folders of a fleet: `fleets/<fleet>/target` and `fleets/<fleet>/consumers/<consumer>/`. */
import { join } from 'node:path'
import { checkName, type Layout } from '../volume/layout.ts'

export const targetOf = (layout: Layout, fleet: string): string => join(layout.fleet(fleet), 'target')
export const consumersOf = (layout: Layout, fleet: string): string => join(layout.fleet(fleet), 'consumers')

/** What belongs to one consumer, and goes with it. */
export interface ConsumerPlace {
  folder: string
  /** A pointer: what the consumer says of itself. */
  states: string
  /** The lock that its agent holds, so that one process at a time has the name; its beats are signs of life. */
  lock: string
  /** The worker's own. */
  work: string
}

export const placeOf = (layout: Layout, fleet: string, consumer: string): ConsumerPlace =>
  placeIn(join(consumersOf(layout, fleet), checkName(consumer, 'consumer')))

/** The same in a folder that is mounted by itself. */
export const placeIn = (folder: string): ConsumerPlace => ({
  folder,
  states: join(folder, 'states'),
  lock: join(folder, 'lock'),
  work: join(folder, 'work'),
})
