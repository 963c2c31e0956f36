/** The absolute paths of a pod, which no process of this machine has: replaced by folders of the task. */
import { join } from 'node:path'

/** A pod's path and the folder that stands for it. */
export type Mappings = ReadonlyMap<string, string>

/** The folders that Tekton gives every task. */
export const implicitPaths = (folder: string): Map<string, string> =>
  new Map(
    ['/workspace', '/tekton/home', '/tekton/results', '/tekton/steps'].map((path) => [
      path,
      join(folder, path),
    ]),
  )

/**
 * Replaces a pod's path where a text starts with it, or has it after `=`, `:` or `,` (as options and lists of paths
 * do). What lies in one of the `real` folders is real already.
 */
export function pathMapper(mappings: Mappings, real: readonly string[] = []): (text: string) => string {
  const inReal = (text: string): boolean => real.some((root) => text === root || text.startsWith(`${root}/`))
  const pattern = patternOf(mappings, '(^|[=:,])')
  return (text) =>
    text.replace(pattern, (all, before: string, path: string, offset: number) =>
      inReal(text.slice(offset + before.length)) ? all : before + (mappings.get(path) ?? path),
    )
}

/** The pod's paths that a script spells out, where nothing is replaced. */
export const pathsIn = (script: string, mappings: Mappings): string[] => [
  ...new Set([...script.matchAll(patternOf(mappings, '(^|[^\\w./)}-])'))].flatMap((match) => match[2] ?? [])),
]

function patternOf(mappings: Mappings, before: string): RegExp {
  const longestFirst = [...mappings.keys()].sort((a, b) => b.length - a.length)
  const paths = longestFirst.map((path) => path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`${before}(${paths.join('|')})(?![\\w.-])`, 'gm')
}
