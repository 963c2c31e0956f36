/** Programs of others that the integration tests run, built from their Go modules beside. */
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { CACHE } from '../cluster/base/paths.ts'
import { elapsed, say } from '../cluster/base/progress.ts'
import { binaryPath, type Component } from '../cluster/binaries/components.ts'
import { goBuild } from '../cluster/binaries/go-build.ts'
import { requireGo } from '../cluster/binaries/go-tool.ts'

export type ProgramName = 'versitygw' | 'oras' | 'crane'

const program = (name: ProgramName, pkg: string, version: string): Component => ({
  name,
  module: join(import.meta.dirname, name),
  pkg,
  version,
})

/** The versions must agree with the go.mod files beside. */
const PROGRAMS: readonly Component[] = [
  // An S3 server over a folder.
  program('versitygw', 'github.com/versity/versitygw/cmd/versitygw', '1.8.0'),
  // Its `registry serve` is an OCI registry.
  program('crane', 'github.com/google/go-containerregistry/cmd/crane', '0.22.1'),
  program('oras', 'oras.land/oras/cmd/oras', '1.2.3'),
]

/** The path of a program's executable, there or not. */
export function programPath(name: ProgramName): string {
  return binaryPath(PROGRAMS.find((candidate) => candidate.name === name)!)
}

/** Builds what is missing into the user's cache folder; the first time that takes up to 3 minutes. */
export async function ensurePrograms(): Promise<void> {
  const start = Date.now()
  const there = await Promise.all(PROGRAMS.map(isThere))
  const missing = PROGRAMS.filter((_, index) => !there[index])
  if (missing.length === 0) return
  await requireGo()
  say(`Building ${missing.map(({ name }) => name).join(', ')} into ${CACHE}, once: up to 3 minutes.`)
  // One after the other: the Go compiler uses every processor by itself.
  for (const component of missing) await goBuild(component)
  say(`Built after ${elapsed(start)}`)
}

const isThere = (component: Component): Promise<boolean> =>
  access(binaryPath(component)).then(
    () => true,
    () => false,
  )
