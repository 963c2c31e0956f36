/** What a run was started for: the repository and branch, and the pull request where it is one. */

export interface Change {
  /** Without scheme and `.git`: `github.com/acme/shop`. */
  repository: string
  /** The branch that was pushed to, or that a pull request wants to be merged into: `main`; a tag as `refs/tags/…`. */
  branch: string
  /** The number of the pull request, where the run is for one. */
  pullRequest: string | undefined
}

/**
 * The environment variables for it, and the annotation of Pipelines-as-Code that fills each. Its labels say the same
 * with every character that a label may not have replaced, so that different branches look alike there.
 */
export const CHANGE_ENV = {
  PAC_REPO_URL: "metadata.annotations['pipelinesascode.tekton.dev/repo-url']",
  PAC_BRANCH: "metadata.annotations['pipelinesascode.tekton.dev/branch']",
  PAC_PULL_REQUEST: "metadata.annotations['pipelinesascode.tekton.dev/pull-request']",
  PAC_EVENT_TYPE: "metadata.annotations['pipelinesascode.tekton.dev/event-type']",
} as const

/** Reads the change; undefined where Pipelines-as-Code did not start the run. */
export function readChange(env: Record<string, string | undefined>): Change | undefined {
  const repository = (env['PAC_REPO_URL'] ?? '')
    .replace(/^[a-z+]+:\/\/([^/@]*@)?/, '')
    .replace(/[?#].*$/, '')
    .replace(/(\.git)?\/*$/, '')
  // A push comes as refs/heads/main, the branch of a pull request as main.
  const branch = (env['PAC_BRANCH'] ?? '').replace(/^refs\/heads\//, '')
  if (!repository || !branch) return undefined
  // The push of a merged pull request has its number, too.
  const isPush = env['PAC_EVENT_TYPE'] === 'push'
  return { repository, branch, pullRequest: (!isPush && env['PAC_PULL_REQUEST']) || undefined }
}
