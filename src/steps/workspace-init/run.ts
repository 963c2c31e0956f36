import { relative } from 'node:path'
import { contentDigestOf } from '../../artifacts/index.ts'
import { initRun } from '../../volume/init-run.ts'
import { probeOnce } from '../../volume/probe.ts'
import { findTemplate, keepTemplate, type Template } from '../../volume/templates.ts'
import { ensureVolume, type Volume } from '../../volume/volume.ts'
import { WorkspaceError } from '../../errors.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

export const run: StepRun<typeof contract> = async ({ params, workspaces, identity, emit }) => {
  const volume = await ensureVolume(workspaces.shared!, emit)
  await probeOnce(volume, emit)
  const template = await chooseTemplate(volume, params.template, workspaces.template)
  const path = relative(volume.layout.root, volume.layout.run(identity.run.uid))
  const made = await initRun(volume, {
    run: identity.run,
    agents: params.agents,
    ...(template ? { template } : {}),
  })
  const named = template ? { template: template.title } : {}
  if (made) emit({ event: 'run-initialised', runId: identity.run.uid, path, ...named })
  else emit({ event: 'run-found', runId: identity.run.uid, path })
  return { 'run-path': path, 'run-id': identity.run.uid, 'volume-id': volume.id }
}

async function chooseTemplate(volume: Volume, name: string, source?: string): Promise<Template | undefined> {
  if (name && source) return keepTemplate(volume, name, source, await contentDigestOf(source))
  if (name) return findTemplate(volume, name)
  if (!source) return undefined
  throw new WorkspaceError('USAGE', 'the workspace "template" is bound without a name for it', {
    expected: 'the param template',
    found: 'none',
    hint: 'set template to the name to keep the folder under',
  })
}
