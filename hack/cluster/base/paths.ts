import { homedir } from 'node:os'
import { join } from 'node:path'

const NAME = 'tekton-shared-workspace'

/** What is worth keeping between clusters: binaries and images, by version. */
export const CACHE = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), NAME)

/** What lives as long as a cluster and may be large: containers, logs, etcd. */
export const DATA = join(CACHE, 'cluster')

/**
 * What must be found by every user and HOME of the machine: its links and addresses are the machine's, so there
 * can be only one native cluster.
 */
export const RUN = `/run/${NAME}`
export const KUBECONFIG = join(RUN, 'kubeconfig')
export const STATE_FILE = join(RUN, 'state.json')
/** Links to kubectl and tkn, for those whose cache is another than that of the one who started the cluster. */
export const RUN_BIN = join(RUN, 'bin')

/** Where the file systems of `./run filesystem` are mounted, and what is known of them. */
export const FILE_SYSTEMS = join(RUN, 'filesystem')

export const LOGS = join(DATA, 'logs')
export const BUILD_LOGS = join(CACHE, 'build-logs')

/** The folder of this module, which holds the Go modules. */
export const SOURCES = join(import.meta.dirname, '..')

/** Holds the process id by which `nsenter` finds a node. */
export function nodePidFile(name: string): string {
  return join(RUN, `${name}.pid`)
}
