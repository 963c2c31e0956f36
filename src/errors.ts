/**
 * Every failure that a user can meet, with the exit code of the step that met it. The README's table is made
 * from this object. Codes are part of the interface: add, never renumber.
 */
export const ERRORS = {
  USAGE: { exit: 64, means: 'a parameter is missing or not of the expected form' },
  INTERNAL: { exit: 70, means: 'a defect in this product; please report the log' },
  STORAGE_NOT_MOUNTED: {
    exit: 20,
    means: 'the workspace path is missing, not a folder, or not an initialised volume',
  },
  NOT_WRITABLE: {
    exit: 21,
    means: 'the file system refuses this user: a volume mounted read-only, or files of another user',
  },
  NO_SPACE: { exit: 22, means: 'the volume is full, out of inodes or over its quota' },
  STORAGE_IO: { exit: 23, means: 'the storage failed a read or write (EIO, ESTALE, timed out)' },
  FORMAT_UNSUPPORTED: {
    exit: 24,
    means: 'the volume was laid out by a version that this one cannot read or write',
  },
  STORAGE_UNSAFE: {
    exit: 25,
    means: 'the storage cannot create names exclusively, so nothing on it can be protected',
  },
  STORE_UNAVAILABLE: {
    exit: 26,
    means: 'the server that keeps artifacts cannot be reached, or does not answer as it should',
  },
  STORE_DENIED: { exit: 27, means: 'the server that keeps artifacts refuses these credentials' },
  ARTIFACT_NOT_FOUND: { exit: 30, means: 'no such artifact, or no file of it matches' },
  DIGEST_MISMATCH: { exit: 31, means: 'content is not what its digest says' },
  ARTIFACT_EXISTS: { exit: 32, means: 'the output was stored already with other content' },
  UNSAFE_PATH: {
    exit: 33,
    means: 'a name or symlink would leave the folder it belongs to, or a path is too long',
  },
  UNSUPPORTED_FILE: { exit: 34, means: 'a device, socket, fifo or setuid file cannot be stored' },
  TARGET_CONFLICT: { exit: 35, means: 'the target folder already has other content at a name to be written' },
  SOURCE_CHANGED: { exit: 36, means: 'a file changed while it was being stored' },
  SOURCE_NOT_FOUND: { exit: 37, means: 'the file or folder to store does not exist' },
  LOCK_NOT_ACQUIRED: { exit: 40, means: 'the lock is held and the policy or the deadline ended the wait' },
  LOCK_NOT_HELD: { exit: 41, means: 'a release by someone who does not hold the lock' },
  STALE_LOCK: { exit: 42, means: 'the hold was taken over or forced while its owner believed to have it' },
  LIVENESS_UNKNOWN: {
    exit: 43,
    means: 'nothing tells whether the holder still lives, so its lock is not taken',
  },
  LOCK_DAMAGED: {
    exit: 44,
    means: 'the log of a lock on the volume cannot be read, so nobody gets the lock',
  },
  LOCK_BACKEND_UNAVAILABLE: {
    exit: 45,
    means: 'the Kubernetes API that keeps the lock as a Lease cannot be reached, or refuses',
  },
  LOCK_LOST: {
    exit: 46,
    means: 'the lock was lost while a command ran under it, and the command was stopped',
  },
  SERVICE_FAILED: {
    exit: 55,
    means: 'a worker of a fleet does not start or is not healthy, so the upgrade was halted',
  },
  UPGRADE_TIMED_OUT: {
    exit: 56,
    means: 'a consumer of a fleet is silent or takes too long, so the upgrade was halted',
  },
  UPGRADE_HALTED: {
    exit: 57,
    means: 'a fleet is in the middle of another upgrade, or cannot be upgraded or rolled back as it is',
  },
  TOOL_NOT_INSTALLED: { exit: 58, means: 'a tool that is needed is not on the volume' },
  SOURCE_UNREACHABLE: { exit: 61, means: 'no URL gave what was to be downloaded' },
  ARCHIVE_UNSAFE: {
    exit: 62,
    means:
      'an archive is damaged, too large, or holds what does not belong into one: names that lead out, devices, setuid',
  },
  TOOL_BROKEN: {
    exit: 63,
    means: 'a tool was downloaded, but lacks a binary, or the command that verifies it failed',
  },
  RUN_NOT_FOUND: { exit: 50, means: 'no such run on the volume' },
  RESULT_TOO_LARGE: { exit: 60, means: 'results over 1 KiB, which Tekton might drop' },
} as const

export type ErrorCode = keyof typeof ERRORS

export interface ErrorDetails {
  /** What to do about it, as a sentence. */
  hint?: string
  expected?: string
  found?: string
  cause?: unknown
}

/** The one error type of the product. `message` says what happened; `hint` what to do. */
export class WorkspaceError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly expected: string | undefined
  readonly found: string | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause })
    this.name = 'WorkspaceError'
    this.code = code
    this.hint = details.hint
    this.expected = details.expected
    this.found = details.found
  }

  get exitCode(): number {
    return ERRORS[this.code].exit
  }
}

/** The errno name (`ENOENT`, …) of an error from the operating system, or undefined. */
export function errno(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined
}

/** For operations on what others may have removed: passes over what is not there, throws anything else. */
export function ignoreMissing(error: unknown): void {
  if (errno(error) !== 'ENOENT') throw error
}

const USERS_AND_GROUPS = 'give the run an fsGroup that owns the volume (see the README, "Users and groups")'

/** What the operating system may say: the code, what was expected instead, what to do. */
const BY_ERRNO: Record<string, [ErrorCode, expected: string, hint: string]> = {
  ENOSPC: [
    'NO_SPACE',
    'room on the volume',
    'free space on the volume (workspace-cleanup applies retention) or enlarge its claim',
  ],
  EDQUOT: ['NO_SPACE', 'room in the quota', 'raise the quota, or let workspace-cleanup apply retention'],
  EROFS: ['NOT_WRITABLE', 'a volume mounted read-write', 'mount the workspace read-write for this task'],
  EACCES: ['NOT_WRITABLE', 'the right to do that', USERS_AND_GROUPS],
  EPERM: ['NOT_WRITABLE', 'the right to do that', USERS_AND_GROUPS],
  ENAMETOOLONG: [
    'UNSAFE_PATH',
    'a path of at most 4,095 bytes, of names of at most 255',
    'shorten the names, or work in a folder with a shorter path',
  ],
  EIO: ['STORAGE_IO', 'storage that answers', 'look at the storage and the mount; then run the task again'],
  ESTALE: ['STORAGE_IO', 'the file that was opened', 'the server replaced it; run the task again'],
  ETIMEDOUT: [
    'STORAGE_IO',
    'storage that answers',
    'look at the storage and the network; then run the task again',
  ],
  ENOTCONN: ['STORAGE_IO', 'a mount with its server', 'look at the node that this pod ran on'],
}

/** Any thrown value as a WorkspaceError: what the operating system said becomes a code with a hint. */
export function toWorkspaceError(error: unknown): WorkspaceError {
  if (error instanceof WorkspaceError) return error
  const known = BY_ERRNO[errno(error) ?? '']
  const message = error instanceof Error ? error.message : String(error)
  if (known) {
    const found = `${errno(error)} from the operating system`
    return new WorkspaceError(known[0], message, { expected: known[1], found, hint: known[2], cause: error })
  }
  return new WorkspaceError('INTERNAL', message, { cause: error })
}
