import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { injectFault } from '../../src/platform/fs.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import { initRun } from '../../src/volume/init-run.ts'
import { ensureVolume } from '../../src/volume/volume.ts'
import { temporaryFolder } from '../support/folder.ts'
import { artifactStoreContract, chunksOf } from './contract.ts'

const newVolume = async () => ensureVolume(await temporaryFolder(), () => {})
const OUTPUT = ['artifacts', 'run-1', 'build', 'out']

artifactStoreContract('the volume', async () => {
  const volume = await newVolume()
  return {
    store: volumeArtifacts(volume),
    // As workspace-init does it.
    nameRun: async (run) =>
      void (await initRun(volume, { run: { kind: 'PipelineRun', ...run }, agents: [] })),
  }
})

describe('artifacts on the volume', () => {
  afterEach(() => injectFault(undefined))

  it('are OCI image layouts that share the store of blobs', async () => {
    const volume = await newVolume()
    await volumeArtifacts(volume).publish(OUTPUT, '0.0', 'artifact', '{}')
    const entry = join(volume.layout.entries(OUTPUT), '0.0')
    await volumeArtifacts(volume).blobs.put(chunksOf('content'))
    expect(await readdir(entry)).toEqual(['blobs', 'index.json', 'oci-layout'])
    expect(await stat(join(entry, 'blobs'))).toMatchObject({ ino: (await stat(volume.layout.blobs)).ino })
  })

  it.each(['symlink', 'rename', 'sync', 'write'] as const)(
    'are not there at all where %s finds the disk full',
    async (broken) => {
      const volume = await newVolume()
      const store = volumeArtifacts(volume)
      injectFault((operation) => {
        if (operation === broken)
          throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
      })
      await expect(store.publish(OUTPUT, '0.0', 'artifact', '{}')).rejects.toMatchObject({ code: 'ENOSPC' })
      injectFault(undefined)
      expect(await readdir(volume.layout.entries(OUTPUT))).toEqual([])
    },
  )
})
