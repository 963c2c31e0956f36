import { join } from 'node:path'
import { execa } from 'execa'
import { KUBECONFIG, RUN_BIN } from '../../../hack/cluster/base/paths.ts'

/** Whether the tests run on a cluster of the user's, by KUBECONFIG. */
export const ownCluster = (): boolean => Boolean(process.env['KUBECONFIG'])

const env = ownCluster() ? {} : { KUBECONFIG, PATH: `${RUN_BIN}:${process.env['PATH']}` }

export async function kubectl(...args: string[]): Promise<string> {
  return (await execa('kubectl', args, { env })).stdout
}

export async function tkn(...args: string[]): Promise<string> {
  return (await execa(ownCluster() ? 'tkn' : join(RUN_BIN, 'tkn'), args, { env })).stdout
}

/** Creates objects from their data. @returns their names as `kind/name`. */
export async function create(namespace: string, ...objects: object[]): Promise<string[]> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })
  const { stdout } = await execa('kubectl', ['create', '-n', namespace, '-f', '-', '-o', 'name'], {
    env,
    input,
  })
  return stdout.split('\n')
}

export async function getJson<T = KubeItem>(namespace: string, ...what: string[]): Promise<T> {
  return JSON.parse(await kubectl('get', '-n', namespace, ...what, '-o', 'json')) as T
}

export interface KubeItem {
  metadata: { name: string; uid: string; labels: Record<string, string>; creationTimestamp: string }
  spec: Record<string, unknown> & { nodeName?: string }
  status: {
    phase?: string
    podName?: string
    startTime?: string
    completionTime?: string
    retriesStatus?: object[]
    skippedTasks?: { name: string; reason: string }[]
    provenance?: { refSource?: { uri?: string } }
    conditions?: { type: string; status: string; reason: string; message: string }[]
    results?: { name: string; value: unknown }[]
    taskResults?: { name: string; value: unknown }[]
    steps?: { name: string; terminated?: { exitCode: number; reason: string } }[]
    succeeded?: number
  }
}

/** Asks again and again until the answer is there. @throws what it last saw, after `seconds`. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined>,
  seconds = 180,
): Promise<T> {
  const end = performance.now() + seconds * 1000
  let last: unknown
  while (performance.now() < end) {
    try {
      const answer = await ask()
      if (answer !== undefined && answer !== false) return answer
    } catch (error) {
      last = error
    }
    await new Promise((done) => setTimeout(done, 500))
  }
  throw new Error(`${what}: not within ${seconds} s`, { cause: last })
}

/** The whole log of a pod's containers, also of those that have ended. */
export async function logOf(namespace: string, pod: string): Promise<string> {
  return kubectl('logs', '-n', namespace, pod, '--all-containers', '--tail=-1')
}
