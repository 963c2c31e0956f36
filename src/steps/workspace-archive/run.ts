import { relative } from 'node:path'
import { archiveRun, findArchived } from '../../retention/archive.ts'
import { measure } from '../../retention/measure.ts'
import { readStatus, setStatus } from '../../volume/status.ts'
import { openVolume } from '../../volume/volume.ts'
import { fenceFor } from '../fence.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

/** Tekton's aggregate status of the tasks, as a phase. */
const PHASE = {
  Succeeded: 'Succeeded',
  Completed: 'Succeeded',
  Failed: 'Failed',
  None: 'Cancelled',
} as const

export const run: StepRun<typeof contract> = async (context) => {
  const { params, workspaces, identity, emit, liveness } = context
  const volume = await openVolume(workspaces.shared!)
  const runId = params.run ?? identity.run.uid
  // What a step left under a umask of 077 is the run's all the same: it moves along, only its size is not known.
  const unreadable = (path: string): void =>
    emit({ event: 'warning', about: path, detail: 'this user may not read it, so its bytes are not counted' })
  const result = async (path: string) => ({
    'archive-path': relative(volume.layout.root, path),
    bytes: (await measure(path, { unreadable })).bytes,
  })
  const archived = await findArchived(volume, runId)
  if (archived) return result(archived)

  const fence = await fenceFor(context)
  await fence?.check()
  const folder = volume.layout.run(runId)
  const phase = PHASE[params.status]
  const status = await readStatus(folder)
  if (!status.closed) {
    await setStatus(folder, undefined, { phase, message: '', by: identity.taskRun.name, closed: true })
    emit({ event: 'run-closed', runId, phase })
  }
  const verdict = await liveness(status.run, identity.pod.uid)
  if (verdict.state !== 'gone') {
    emit({ event: 'archive-deferred', runId, why: verdict.why })
    return result(folder)
  }
  const results = await result(await archiveRun(volume, runId, fence))
  emit({ event: 'run-archived', runId, path: results['archive-path'], bytes: results.bytes })
  return results
}
