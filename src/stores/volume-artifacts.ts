/** Artifacts on the shared volume: each entry of one is a whole OCI image layout that any OCI tool can read. */
import { basename, join, relative } from 'node:path'
import { errno, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'
import { checkName } from '../volume/layout.ts'
import { listEntries, publishFile, publishFolder, writeNew } from '../volume/publish.ts'
import type { Volume } from '../volume/volume.ts'
import type { ArtifactStore } from './store.ts'
import { volumeStore } from './volume-store.ts'

export function volumeArtifacts({ id, layout }: Volume): ArtifactStore {
  return {
    strategy: 'pvc',
    place: `workspace://${id}`,
    blobs: volumeStore(layout),
    async entries(path) {
      const found = await listEntries(layout.entries(path))
      return found.map(({ epoch, n, name, isFolder }) => ({
        epoch,
        n,
        name,
        kind: isFolder ? ('artifact' as const) : ('seal' as const),
      }))
    },
    async read(path, entry) {
      const at = join(layout.entries(path), checkName(entry, 'entry'))
      try {
        return await fs.readFile((await fs.lstat(at)).isDirectory() ? join(at, 'index.json') : at)
      } catch (error) {
        if (errno(error) !== 'ENOENT') throw error
        throw new WorkspaceError('ARTIFACT_NOT_FOUND', `${at} is gone`, {
          expected: 'the entry that was listed',
          found: 'nothing',
          hint: 'retention may have taken it: restore it from trash',
          cause: error,
        })
      }
    },
    async publish(path, entry, kind, document) {
      const folder = layout.entries(path)
      const target = join(folder, checkName(entry, 'entry'))
      await fs.mkdirp(folder)
      if (kind === 'seal') return publishFile(target, document)
      return publishFolder(target, async (made) => {
        await writeNew(join(made, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
        await writeNew(join(made, 'index.json'), document)
        await fs.symlink(relative(target, layout.blobs), join(made, 'blobs'))
      })
    },
    names: async (path) => (await fs.list(layout.entries(path))).map(({ name }) => name),
    async findRun(namespace, name) {
      const target = await fs.readlink(layout.byName(namespace, name)).catch(() => undefined)
      return target === undefined ? undefined : basename(target)
    },
    // workspace-init names runs on the volume.
    nameRun: async () => {},
  }
}
