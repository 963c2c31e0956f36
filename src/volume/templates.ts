/** Templates: folders kept under their digest, from which a run's workspace-content can start. */
import { join } from 'node:path'
import { WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { wallNow } from '../platform/clock.ts'
import { publishFolder } from './publish.ts'
import type { Volume } from './volume.ts'

export interface Template {
  /** `<name>@<digest>`. */
  title: string
  folder: string
}

/** Keeps a copy of `source` as a template under `digest`, unless it is there. */
export async function keepTemplate(
  volume: Volume,
  name: string,
  source: string,
  digest: string,
): Promise<Template> {
  const hex = digest.replace(/^sha256:/, '')
  const parent = volume.layout.template(name)
  await fs.mkdirp(parent)
  await publishFolder(join(parent, hex), async (folder) => {
    await fs.copyTree(source, join(folder, 'content'))
  })
  return use(parent, name, hex)
}

/**
 * Finds a kept template: `name` where there is one digest of it, else `name@<digest>`.
 * @throws WorkspaceError SOURCE_NOT_FOUND where there is none, or more than one to choose from.
 */
export async function findTemplate(volume: Volume, reference: string): Promise<Template> {
  const [name = '', digest] = reference.split('@')
  const parent = volume.layout.template(name)
  const kept = (await fs.list(parent))
    .map((entry) => entry.name)
    .filter((entry) => /^[0-9a-f]{64}$/.test(entry))
  const wanted = digest?.replace(/^sha256:/, '')
  const matches = wanted ? kept.filter((entry) => entry === wanted) : kept
  if (matches.length === 1) return use(parent, name, matches[0]!)
  throw new WorkspaceError('SOURCE_NOT_FOUND', `no one template ${reference} on the volume`, {
    expected: wanted ? `shared/templates/${name}/${wanted}` : `one digest under shared/templates/${name}`,
    found: kept.length === 0 ? 'none' : kept.join(', '),
    hint: kept.length > 1 ? `name one as ${name}@<digest>` : 'bind the workspace "template" to keep it first',
  })
}

// Retention goes by the last use.
async function use(parent: string, name: string, hex: string): Promise<Template> {
  await fs.utimes(join(parent, hex), wallNow() / 1000).catch(() => undefined)
  return { title: `${name}@sha256:${hex}`, folder: join(parent, hex, 'content') }
}
