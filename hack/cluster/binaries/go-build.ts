import { mkdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { execa } from 'execa'
import { lastLines } from '../base/files.ts'
import { BUILD_LOGS } from '../base/paths.ts'
import { Problem } from '../base/problem.ts'
import { step } from '../base/progress.ts'
import { binaryPath, type Component } from './components.ts'

/** Builds one executable beside its place in the cache and renames it there when it is whole. */
export async function goBuild(component: Component): Promise<void> {
  const target = binaryPath(component)
  const part = `${target}.${process.pid}.part`
  const log = join(BUILD_LOGS, `${labelOf(component)}-${component.version}.log`)
  await mkdir(dirname(target), { recursive: true })
  await mkdir(BUILD_LOGS, { recursive: true })
  try {
    await step(labelOf(component), 'compiling', () => compile(component, part, log))
    await rename(part, target)
  } finally {
    await rm(part, { force: true })
  }
}

/** Tekton's commands have names that say little by themselves. */
function labelOf({ module, name }: Component): string {
  return basename(module) === 'tekton' ? `tekton-${name}` : name
}

async function compile(component: Component, out: string, log: string): Promise<void> {
  const variables = (component.variables ?? []).map((variable) => ` -X ${variable}`)
  const flags = ['-trimpath', '-mod=readonly', '-ldflags', `-s -w${variables.join('')}`]
  const result = await execa('go', ['build', ...flags, '-o', out, component.pkg], {
    cwd: component.module,
    // GOWORK: a workspace file of the user must not take part.
    env: { CGO_ENABLED: '0', GOWORK: 'off' },
    stdio: ['ignore', { file: log }, { file: log }],
    reject: false,
  })
  if (!result.failed) return
  throw new Problem(
    `${labelOf(component)} ${component.version} could not be built\n${await lastLines(log)}`,
    {
      fix: 'where a module could not be fetched, check GOPROXY and the network, then run build again',
      log,
    },
  )
}
