/**
 * Whether a mount is what it should be. A claim that is missing, or mounted a moment too late, leaves an empty folder
 * in its place, and a restored copy of a volume is another one with the same content.
 */
import { toWorkspaceError, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { mountOf } from '../platform/mounts.ts'
import { openVolume, type Volume } from './volume.ts'

const LOOK =
  'look whether the claim of the shared workspace is mounted there, and whether it is the right one'

/**
 * Opens the volume at `root`.
 * @param volumeId the id that it has to have; undefined for any
 * @throws WorkspaceError STORAGE_NOT_MOUNTED, which says what is mounted there; FORMAT_UNSUPPORTED
 */
export async function requireVolume(root: string, volumeId: string | undefined): Promise<Volume> {
  const volume = await openVolume(root).catch(async (error: unknown) => {
    const failure = toWorkspaceError(error)
    if (failure.code !== 'STORAGE_NOT_MOUNTED') throw error
    throw notMounted(failure.message, {
      expected: failure.expected ?? '',
      found: `${failure.found}; ${await describePlace(root)}`,
      hint: `${LOOK}; a new volume is made ready by workspace-init or tool-install`,
      cause: error,
    })
  })
  if (volumeId === undefined || volume.id === volumeId) return volume
  throw notMounted(`another volume is mounted at ${root}`, {
    expected: `the volume ${volumeId}`,
    found: `the volume ${volume.id}; ${await describePlace(root)}`,
  })
}

/**
 * Requires that two paths of this host are one folder, by device and inode. Between hosts these mean nothing: there,
 * whoever repeats what the other has written sees the same file system.
 * @throws WorkspaceError STORAGE_NOT_MOUNTED
 */
export async function requireSameFolder(one: string, other: string): Promise<void> {
  const [a, b] = await Promise.all([identityOf(one), identityOf(other)])
  if (a !== undefined && a === b) return
  throw notMounted(`${one} and ${other} are not the same folder`, {
    expected: 'two mounts of one volume',
    found: `${await describePlace(one)}; ${await describePlace(other)}`,
  })
}

async function identityOf(path: string): Promise<string | undefined> {
  const found = await fs.stat(path).catch(() => undefined)
  return found && `${found.dev}:${found.ino}`
}

/** What is at a path: device, inode and mount, for people. */
async function describePlace(path: string): Promise<string> {
  const found = await fs.stat(path).catch(() => undefined)
  if (!found) return `${path} is not there`
  const { type, source, options } = await mountOf(path)
  return `${path} is device ${found.dev}, inode ${found.ino}, on a mount of type ${type} from ${source || 'nowhere'} (${options})`
}

function notMounted(
  message: string,
  details: { expected: string; found: string; hint?: string; cause?: unknown },
): WorkspaceError {
  return new WorkspaceError('STORAGE_NOT_MOUNTED', message, { hint: LOOK, ...details })
}
