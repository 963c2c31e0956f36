import { cp, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { SOURCES } from '../base/paths.ts'
import { moduleFolder } from './go-tool.ts'
import { TEKTON_CONFIG } from './components.ts'

/** Keeps Tekton's own manifests beside its executables, so that a cluster starts without Go. */
export async function keepTektonConfig(): Promise<void> {
  const source = join(await moduleFolder(join(SOURCES, 'tekton'), 'github.com/tektoncd/pipeline'), 'config')
  const part = `${TEKTON_CONFIG}.${process.pid}.part`
  try {
    await cp(source, part, { recursive: true })
    await rename(part, TEKTON_CONFIG)
  } finally {
    await rm(part, { recursive: true, force: true })
  }
}

export async function hasTektonConfig(): Promise<boolean> {
  return stat(TEKTON_CONFIG).then(
    () => true,
    () => false,
  )
}
