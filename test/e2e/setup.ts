/**
 * Before all end-to-end tests: builds the step image from this checkout and loads it into the nodes, and lets the
 * pods of a run spread. With KUBECONFIG set, that cluster is taken as it is, with the image loaded already.
 */
import { execa } from 'execa'
import { join } from 'node:path'
import { ensurePrograms } from '../../hack/programs/programs.ts'
import { kubectl, ownCluster } from './support/cluster.ts'

const root = join(import.meta.dirname, '../..')

export default async function setup(): Promise<void> {
  await kubectl('version')
  await ensurePrograms()
  if (ownCluster()) return
  const node = (...args: string[]) =>
    execa(process.execPath, args, { cwd: root, stdout: 'inherit', stderr: 'inherit' })
  await node('images/build.ts')
  await node(
    'hack/cluster/main.ts',
    'load-image',
    `dist/image-${process.arch === 'x64' ? 'amd64' : 'arm64'}.tar`,
  )
}
