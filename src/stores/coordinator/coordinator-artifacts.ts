/** Artifacts kept by the coordinator of this namespace (src/coordinator). */
import type * as z from '../../zod.ts'
import { WorkspaceError } from '../../errors.ts'
import { parseJson } from '../../json.ts'
import { checkName } from '../../volume/layout.ts'
import type { ArtifactStore, EntryPath } from '../store.ts'
import { coordinatorBlobs } from './blobs.ts'
import { connectionTo, type Connection, type ConnectionOptions } from './connection.ts'
import { Entries, entriesPath, Names, namesPath, Run, runPath } from './protocol.ts'

/** Nothing is asked of the coordinator yet. */
export function coordinatorArtifacts(options: ConnectionOptions): ArtifactStore {
  const connection = connectionTo(options)
  const { place } = connection
  return {
    strategy: 'coordinator',
    place,
    blobs: coordinatorBlobs(connection),
    entries: async (path) => readJson(connection, entriesPath(checked(path)), Entries),
    read: (path, entry) => read(connection, path, entry),
    publish: (path, entry, kind, document) => publish(connection, path, entry, kind, document),
    names: async (path) => readJson(connection, namesPath(checked(path)), Names),
    async findRun(namespace, name) {
      const path = runPath(checkName(namespace, 'namespace'), checkName(name, 'name of a run'))
      const { status, body } = await connection.ask({ method: 'GET', path }, [200, 404])
      return status === 404 ? undefined : parsed(connection, body, Run).uid
    },
    async nameRun({ namespace, name, uid }) {
      const path = runPath(checkName(namespace, 'namespace'), checkName(name, 'name of a run'))
      await connection.ask({ method: 'PUT', path, body: [Buffer.from(uid)] }, [204])
    },
  }
}

const checkEntry = (entry: string): string => checkName(entry, 'name of an entry')
const checked = (path: EntryPath): EntryPath => path.map((name) => checkName(name, 'name'))

async function read(connection: Connection, path: EntryPath, entry: string): Promise<Buffer> {
  const request = { method: 'GET', path: entriesPath(checked(path), { entry: checkEntry(entry) }) }
  const { status, body } = await connection.ask(request, [200, 404])
  if (status === 200) return body
  throw new WorkspaceError('ARTIFACT_NOT_FOUND', `${[connection.place, ...path, entry].join('/')} is gone`, {
    expected: 'the entry that was listed',
    found: 'nothing',
    hint: 'retention may have taken it: run the task that stored it again',
  })
}

async function publish(
  connection: Connection,
  path: EntryPath,
  entry: string,
  kind: string,
  document: string,
): Promise<boolean> {
  const body = [Buffer.from(document)]
  const at = entriesPath(checked(path), { entry: checkEntry(entry), kind })
  const request = { method: 'PUT', path: at, body }
  const { status, again } = await connection.ask(request, [201, 409])
  if (status === 201) return true
  // An earlier try may have published it and its answer have been lost. Who stored what, and when, is in it.
  return again && (await read(connection, path, entry)).equals(body[0]!)
}

async function readJson<T>(connection: Connection, path: string, schema: z.ZodMiniType<T>): Promise<T> {
  return parsed(connection, (await connection.ask({ method: 'GET', path }, [200])).body, schema)
}

function parsed<T>({ place }: Connection, body: Buffer, schema: z.ZodMiniType<T>): T {
  const { data, error } = schema.safeParse(parseJson(body))
  if (!error) return data
  throw new WorkspaceError('STORE_UNAVAILABLE', `${place} answers with what is not of the protocol`, {
    expected: error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '),
    found: body.toString().slice(0, 200),
    hint: 'look whether it is of the same version as the steps',
  })
}
