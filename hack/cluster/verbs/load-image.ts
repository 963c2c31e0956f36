import { access } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Problem } from '../base/problem.ts'
import { step } from '../base/progress.ts'
import { importImage } from '../native/containerd.ts'
import { requireCluster, requireRoot } from '../native/require.ts'
import type { ClusterState } from '../native/state.ts'

/** Imports docker archives into every node. */
export async function loadImage(archives: readonly string[]): Promise<void> {
  if (archives.length === 0)
    throw new Problem('no archive is named', { fix: 'say: load-image <archive.tar> ...' })
  requireRoot()
  const state = await requireCluster()
  for (const archive of archives) await step(archive, 'loading', () => loadOne(state, resolve(archive)))
}

async function loadOne({ nodes }: ClusterState, archive: string): Promise<void> {
  await access(archive).catch((cause: unknown) => {
    throw new Problem('there is no such archive', { expected: 'a docker archive', found: archive, cause })
  })
  await Promise.all(
    nodes.map(({ name, init }) =>
      importImage(init, archive).catch((cause: unknown) => {
        const found = cause instanceof Error ? cause.message : String(cause)
        throw new Problem(`${name} could not import the image`, {
          expected: 'a docker or OCI archive',
          found,
          cause,
        })
      }),
    ),
  )
}
