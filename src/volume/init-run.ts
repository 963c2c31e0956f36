import { join, relative } from 'node:path'
import { errno } from '../errors.ts'
import type { Owner } from '../identity.ts'
import * as fs from '../platform/fs.ts'
import { checkName } from './layout.ts'
import { publishFolder } from './publish.ts'
import { writeRunFile } from './status.ts'
import type { Volume } from './volume.ts'

export interface InitRunOptions {
  run: Owner
  /** Agents that get a private folder and one for their artifacts. */
  agents: string[]
  template?: { title: string; folder: string }
}

/**
 * Makes the folders of a run, at once and whole, with an alias by its name.
 * @returns false where the run has its folders already; they are left as they are.
 */
export async function initRun(volume: Volume, { run, agents, template }: InitRunOptions): Promise<boolean> {
  const { layout } = volume
  agents.forEach((agent) => checkName(agent, 'agent'))
  for (const folder of [layout.pipelines, layout.agents]) await fs.mkdirp(folder)
  const made = await publishFolder(layout.run(run.uid), async (folder) => {
    for (const name of ['agent-artifacts', 'metadata', 'final-output']) await fs.mkdir(join(folder, name))
    for (const name of ['agents', 'phases']) await fs.mkdir(join(folder, 'metadata', name))
    if (template) await fs.copyTree(template.folder, join(folder, 'workspace-content'))
    else await fs.mkdir(join(folder, 'workspace-content'))
    await writeRunFile(folder, run, template?.title)
  })
  for (const agent of agents) {
    await fs.mkdirp(join(layout.agents, agent))
    await fs.mkdirp(join(layout.agentArtifacts(run.uid), agent))
  }
  await pointAlias(volume, run, layout.run(run.uid))
  return made
}

/** Points `by-name/<namespace>.<name>` at the run: a convenience for people, without promises. */
export async function pointAlias(volume: Volume, run: Owner, folder: string): Promise<void> {
  const alias = volume.layout.byName(run.namespace, run.name)
  const target = relative(join(alias, '..'), folder)
  await fs.mkdirp(join(alias, '..'))
  for (const _ of [1, 2, 3]) {
    try {
      await fs.symlink(target, alias)
      return
    } catch (error) {
      if (errno(error) !== 'EEXIST') throw error
      if ((await fs.readlink(alias)) === target) return
      // An earlier run of the same name.
      await fs.unlink(alias).catch(() => undefined)
    }
  }
}
