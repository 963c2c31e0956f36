/** The consumers of a fleet. */
import * as fs from '../platform/fs.ts'
import type { Layout } from '../volume/layout.ts'
import { TEMPORARY } from '../volume/publish.ts'
import type { State } from './format.ts'
import { consumersOf, placeOf } from './places.ts'
import { isGone, readState } from './pointers.ts'

export interface Consumer {
  name: string
  state: State
}

/** Who has registered and not left, by name. */
export async function listConsumers(layout: Layout, fleet: string): Promise<Consumer[]> {
  const entries = await fs.list(consumersOf(layout, fleet))
  const names = entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith(TEMPORARY))
    .map(({ name }) => name)
  const found = await Promise.all(names.map((name) => readConsumer(layout, fleet, name)))
  return found.filter((consumer) => consumer !== undefined)
}

async function readConsumer(layout: Layout, fleet: string, name: string): Promise<Consumer | undefined> {
  const state = await readState(placeOf(layout, fleet, name)).catch((error: unknown) => {
    if (!isGone(error)) throw error
    return undefined
  })
  return state && state.phase !== 'stopped' ? { name, state } : undefined
}
