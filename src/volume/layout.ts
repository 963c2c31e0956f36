/** Every path on the volume. Nothing else in the product joins a path below the root by hand. */
import { join } from 'node:path'
import { WorkspaceError } from '../errors.ts'

/** A name that becomes one path segment: no separators, no leading dot, so never `.` or `..`. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/**
 * Checks that `name` can be one folder on the volume.
 * @throws WorkspaceError UNSAFE_PATH otherwise; `what` says which parameter it came from.
 */
export function checkName(name: string, what: string): string {
  if (NAME.test(name)) return name
  throw new WorkspaceError(
    'UNSAFE_PATH',
    `the ${what} ${JSON.stringify(name)} cannot be a name on the volume`,
    {
      expected: '1 to 128 letters, digits, ".", "_" and "-", starting with a letter or digit',
      found: JSON.stringify(name),
      hint: `choose another ${what}`,
    },
  )
}

export type Layout = ReturnType<typeof layoutOf>

/** The paths of the volume mounted at `root`. Names are checked where they become paths. */
export function layoutOf(root: string) {
  const at = (...parts: string[]): string => join(root, ...parts)
  const run = (id: string): string => at('pipelines', checkName(id, 'run id'))
  return {
    root,
    marker: at('.shared-workspace', 'format.json'),
    /** Held by flock while a coordinator owns this volume. */
    coordinator: at('.shared-workspace', 'coordinator'),
    probes: at('.shared-workspace', 'probes'),
    /** What probes on two nodes found: a folder of entries. */
    acrossNodes: at('.shared-workspace', 'probes', 'across-nodes'),
    pipelines: at('pipelines'),
    run,
    content: (id: string) => join(run(id), 'workspace-content'),
    agentArtifacts: (id: string) => join(run(id), 'agent-artifacts'),
    finalOutput: (id: string) => join(run(id), 'final-output'),
    metadata: (id: string) => join(run(id), 'metadata'),
    /** Held by flock while a local run lives. */
    alive: (id: string) => at('.shared-workspace', 'local-runs', checkName(id, 'run id')),
    byName: (namespace: string, name: string) => at('by-name', `${namespace}.${name}`),
    agents: at('agents'),
    templates: at('shared', 'templates'),
    template: (name: string) => at('shared', 'templates', checkName(name, 'template')),
    cache: at('shared', 'cache'),
    artifacts: at('artifacts'),
    artifact: (id: string, task: string, output: string) =>
      at('artifacts', checkName(id, 'run id'), checkName(task, 'task'), checkName(output, 'output')),
    /** A folder of entries. */
    entries: (names: readonly string[]) => at(...names.map((name) => checkName(name, 'name'))),
    blobs: at('store', 'blobs'),
    blob: (digest: string) => at('store', 'blobs', 'sha256', digest.replace(/^sha256:/, '')),
    beginnings: at('store', 'beginnings'),
    /** A symlink to a large blob, by the digest of its beginning. */
    beginning: (digest: string) => at('store', 'beginnings', digest.replace(/^sha256:/, '')),
    /** What is known of the content of files that have not changed since. */
    notes: at('store', 'notes'),
    note: (name: string) => at('store', 'notes', checkName(name, 'note')),
    /** What the last marks found unreferenced, and how far the scrub has come: folders of entries. */
    marks: at('store', 'marks'),
    scrubs: at('store', 'scrubs'),
    /** Blobs that were not what their digest says. */
    quarantine: at('store', 'quarantine'),
    locks: at('locks'),
    lock: (name: string) => at('locks', checkName(name, 'lock name')),
    tools: at('tools'),
    /** The installations of one version, a folder for each platform. */
    tool: (name: string, version: string) =>
      at('tools', checkName(name, 'tool'), checkName(version, 'version')),
    fleets: at('fleets'),
    /** What the consumers of one tool are to run, and what they do. */
    fleet: (name: string) => at('fleets', checkName(name, 'fleet')),
    completed: at('completed'),
    trash: at('trash'),
  }
}
