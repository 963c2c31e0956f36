import * as fs from '../platform/fs.ts'
import type { Layout } from '../volume/layout.ts'
import { listConsumers } from './consumers.ts'
import { readTarget } from './pointers.ts'

/** The versions of tools, as `<name>/<version>`, that a fleet is on, goes to or may go back to. */
export async function toolsInUse(layout: Layout): Promise<Set<string>> {
  const used = new Set<string>()
  for (const { name: fleet } of (await fs.list(layout.fleets)).filter((entry) => entry.isDirectory())) {
    const target = await readTarget(layout, fleet)
    for (const version of [target?.version, target?.previous])
      if (target && version) used.add(`${target.tool}/${version}`)
    for (const { state } of await listConsumers(layout, fleet)) used.add(`${state.tool}/${state.version}`)
  }
  return used
}
