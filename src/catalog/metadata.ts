import type { ObjectMeta } from './tekton/types.generated.ts'

/** What a catalog wants to know of each resource. */
export interface Described {
  name: string
  version: string
  displayName: string
  categories: readonly string[]
  tags: readonly string[]
}

/** The Tekton release that everything here was run on. */
export const MIN_TEKTON = '1.15.0'

export function catalogMetadata({ name, version, displayName, categories, tags }: Described): ObjectMeta {
  return {
    name,
    labels: { 'app.kubernetes.io/version': version, 'app.kubernetes.io/part-of': 'tekton-shared-workspace' },
    annotations: {
      'tekton.dev/pipelines.minVersion': MIN_TEKTON,
      'tekton.dev/categories': categories.join(', '),
      'tekton.dev/tags': tags.join(', '),
      'tekton.dev/displayName': displayName,
      'tekton.dev/platforms': 'linux/amd64,linux/arm64',
    },
  }
}

/** One line, a blank line, more: the form that `tkn` and the Hub show. */
export const catalogDescription = (summary: string, more: string): string => `${summary}\n\n${more}\n`
