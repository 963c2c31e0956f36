/** Volumes, identities and trees for the tests of artifacts. */
import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  retrieveArtifacts,
  storeArtifact,
  type RetrieveRequest,
  type StoreRequest,
} from '../../src/artifacts/index.ts'
import type { Event } from '../../src/events.ts'
import type { Identity, Owner, OwnerKind } from '../../src/identity.ts'
import { opened } from '../../src/stores/open.ts'
import type { ArtifactStore } from '../../src/stores/store.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import { ensureVolume, type Volume } from '../../src/volume/volume.ts'
import { temporaryFolder } from '../support/folder.ts'

export const newFolder = temporaryFolder

export const newVolume = async (): Promise<Volume> => ensureVolume(await newFolder(), () => {})

export function identity({ run = 'run-1', task = 'build', pod = 'pod-1' } = {}): Identity {
  const owner = (kind: OwnerKind, name: string): Owner => ({
    kind,
    namespace: 'ns',
    name,
    uid: `uid-${name}`,
  })
  return {
    run: owner('PipelineRun', run),
    taskRun: owner('TaskRun', `${run}-${task}`),
    task,
    pod: { name: pod, uid: `uid-${pod}` },
    node: 'node-a',
  }
}

export const RUN_ID = 'uid-run-1'
const never = new AbortController().signal

/** Stores on the volume as pod-1 of task "build" in run-1, unless told otherwise. */
export const store = (volume: Volume, source: string, more: Partial<StoreRequest> = {}) =>
  storeIn(volumeArtifacts(volume), source, more)

/** As `store`, in any store. */
export function storeIn(store: ArtifactStore, source: string, more: Partial<StoreRequest> = {}) {
  return storeArtifact({
    stores: [opened(store)],
    source,
    identity: identity(),
    output: 'out',
    overwrite: false,
    emit: () => {},
    signal: never,
    ...more,
  })
}

/** Retrieves build/out from the volume as another task of run-1, unless told otherwise. */
export const retrieve = (volume: Volume, target: string, more: Partial<RetrieveRequest> = {}) =>
  retrieveFrom(volumeArtifacts(volume), target, more)

/** As `retrieve`, from any store. */
export function retrieveFrom(store: ArtifactStore, target: string, more: Partial<RetrieveRequest> = {}) {
  return retrieveArtifacts({
    stores: [opened(store)],
    target,
    identity: identity({ task: 'use', pod: 'pod-2' }),
    artifacts: ['build/out'],
    run: '',
    files: [],
    strip: 0,
    conflicts: 'fail',
    optional: false,
    emit: () => {},
    signal: never,
    ...more,
  })
}

/** The code of the error that a call fails with, or what it gave. */
export const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.catch((error: unknown) => (error instanceof Error && 'code' in error ? error.code : error))

/** Collects events for a request. */
export function collect(): { emit: (event: Event) => void; events: Event[] } {
  const events: Event[] = []
  return { emit: (event) => void events.push(event), events }
}

/** A tree by path: a file as text or bytes (0755 where the path ends in `*`), `null` a folder, `{ link }` a symlink. */
export type Tree = Record<string, string | Uint8Array | null | { link: string }>

export async function makeTree(tree: Tree, folder?: string): Promise<string> {
  const root = folder ?? (await newFolder())
  for (const [name, content] of Object.entries(tree)) {
    const path = join(root, name.replace(/\*$/, ''))
    await mkdir(content === null ? path : dirname(path), { recursive: true })
    if (content === null) continue
    if (typeof content === 'object' && 'link' in content) await symlink(content.link, path)
    else await writeFile(path, content)
    if (name.endsWith('*')) await chmod(path, 0o755)
  }
  return root
}

/** Everything below a folder as one comparable value: type, mode, content or target by path. */
export async function readTree(root: string, prefix = ''): Promise<Record<string, string>> {
  const tree: Record<string, string> = {}
  for (const name of (await readdir(join(root, prefix))).sort()) {
    const path = join(prefix, name)
    const stats = await lstat(join(root, path))
    const mode = (stats.mode & 0o777).toString(8)
    if (stats.isSymbolicLink()) tree[path] = `-> ${await readlink(join(root, path))}`
    else if (stats.isDirectory()) Object.assign(tree, { [path]: `dir ${mode}` }, await readTree(root, path))
    else tree[path] = `file ${mode} ${(await readFile(join(root, path))).toString('base64')}`
  }
  return tree
}

export const contentsOf = async (root: string): Promise<string[]> => Object.keys(await readTree(root))

/** The folder of build/out's entries in run-1. */
export const outputFolder = (volume: Volume): string => volume.layout.artifact(RUN_ID, 'build', 'out')

/** The names on the volume that are temporary: there should never be any. */
export async function temporaries(root: string): Promise<string[]> {
  const names = await readdir(root, { recursive: true })
  return names.filter((name) => name.includes('.tmp-'))
}

/** Runs as another user of the volume's group and under that umask; without root, as who we are. */
export async function asUser<T>(uid: number, umask: number, work: () => Promise<T>): Promise<T> {
  const before = process.umask(umask)
  const root = process.getuid?.() === 0
  if (root) process.seteuid?.(uid)
  try {
    return await work()
  } finally {
    if (root) process.seteuid?.(0)
    process.umask(before)
  }
}
