import { stat } from 'node:fs/promises'
import { CACHE } from '../base/paths.ts'
import { elapsed, say, step } from '../base/progress.ts'
import { binaryPath, COMPONENTS, type Component } from '../binaries/components.ts'
import { goBuild } from '../binaries/go-build.ts'
import { requireGo } from '../binaries/go-tool.ts'
import { CLUSTER_NEEDS, installPackages } from '../binaries/packages.ts'
import { hasTektonConfig, keepTektonConfig } from '../binaries/tekton-config.ts'
import { buildClusterImages } from '../images/cluster-images.ts'

/** Brings everything that a native cluster needs into the cache. What is there is kept. Returns the images. */
export async function build(): Promise<string[]> {
  const start = Date.now()
  await installPackages(
    CLUSTER_NEEDS,
    'the native cluster',
    'use a cluster of your own: up --provider existing',
  )
  const missing = await missingComponents()
  const needsConfig = !(await hasTektonConfig())
  if (missing.length > 0 || needsConfig) await requireGo()
  if (missing.length > 0) announce(missing)
  // One after the other: the Go compiler uses every processor by itself.
  for (const component of missing) await goBuild(component)
  if (needsConfig) await step('Tekton manifests', 'copying', keepTektonConfig)
  const images = await buildClusterImages()
  say(`Built: ${COMPONENTS.length} programs and ${images.length} images are in ${CACHE} (${elapsed(start)})`)
  return images
}

function announce(missing: readonly Component[]): void {
  say(`Building ${missing.length} programs into ${CACHE}.`)
  if (missing.length > 10) say('This takes about 10 minutes on two processors, once.')
}

async function missingComponents(): Promise<Component[]> {
  const present = await Promise.all(COMPONENTS.map((component) => isThere(binaryPath(component))))
  return COMPONENTS.filter((_, index) => !present[index])
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
