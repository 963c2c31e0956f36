import { WorkspaceError } from '../../errors.ts'
import { maintain } from '../../retention/maintain.ts'
import { openVolume } from '../../volume/volume.ts'
import type { StepRun } from '../runtime.ts'
import type { contract } from './contract.ts'

const DAY_MS = 8.64e7

export const run: StepRun<typeof contract> = async (context) => {
  const { params, workspaces, configuration, emit, liveness, signal } = context
  const volume = await openVolume(workspaces.shared!)
  const { dryRun, scrubBytes, artifactRetention, ...times } = params
  const policy = {
    ...times,
    artifactRetention: artifactRetention ?? configuration.ARTIFACT_CLEANUP_DAYS * DAY_MS,
  }
  const done = await maintain({ volume, policy, scrubBytes, dryRun, liveness, emit, signal })
  if (done.damaged.length > 0) throw damaged(done.damaged)
  if (done.unreadable > 0) throw unreadable(done.unreadable)
  return {
    removed: done.removed,
    'freed-bytes': done.freedBytes,
    swept: done.swept,
    blocked: done.blocked,
  }
}

function damaged(blobs: readonly string[]): WorkspaceError {
  return new WorkspaceError('DIGEST_MISMATCH', `the storage holds ${blobs.length} damaged blobs`, {
    expected: 'content that is what its digest says',
    found: `${blobs.slice(0, 5).join(', ')}${blobs.length > 5 ? ', …' : ''}`,
    hint: 'they are in store/quarantine now: run the tasks again that stored the artifacts named above, and look at the storage',
  })
}

function unreadable(count: number): WorkspaceError {
  return new WorkspaceError('STORAGE_IO', `${count} blobs cannot be read`, {
    expected: 'storage that answers',
    found: 'the errors named above',
    hint: 'look at the storage; the blobs were left where they are, and the next scrub comes round to them again',
  })
}
