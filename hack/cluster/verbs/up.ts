import { parseArgs } from 'node:util'
import { KUBECONFIG, RUN_BIN } from '../base/paths.ts'
import { Problem } from '../base/problem.ts'
import { elapsed, say } from '../base/progress.ts'
import { troubles } from '../native/health.ts'
import { NODES } from '../native/layout.ts'
import { exclusively } from '../native/lock.ts'
import { requireRoot } from '../native/require.ts'
import { startCluster } from '../native/start.ts'
import { readState } from '../native/state.ts'
import { stopCluster } from '../native/stop.ts'
import { build } from './build.ts'
import { checkExisting } from './up-existing.ts'

export async function up(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: { provider: { type: 'string', default: 'native' }, nodes: { type: 'string', default: '2' } },
  })
  if (values.provider === 'existing') return await checkExisting()
  if (values.provider !== 'native') throw wrongOption('--provider', 'native or existing', values.provider)
  const count = Number(values.nodes)
  if (count !== 1 && count !== 2) throw wrongOption('--nodes', '1 or 2', values.nodes)
  requireRoot()
  await exclusively('up', () => upNative(count))
  printKubeconfig()
}

async function upNative(count: number): Promise<void> {
  const start = Date.now()
  if (await isUp(count)) return
  const images = await build()
  say(`Starting a cluster of ${count} node${count > 1 ? 's' : ''}`)
  await startCluster(NODES.slice(0, count), images)
  say(`Up after ${elapsed(start)}. End it with: ./run cluster down`)
}

/** Whether there is nothing to do. Removes what is left of a cluster that broke. */
async function isUp(count: number): Promise<boolean> {
  const state = await readState()
  if (!state) return false
  const wrong = await troubles(state)
  if (wrong.length > 0) {
    say(`Removing a cluster that is not well: ${wrong.join('; ')}`)
    await stopCluster(state)
    return false
  }
  if (state.nodes.length !== count) throw otherSize(count, state.nodes.length)
  say(`Already up, with ${count} node${count > 1 ? 's' : ''}`)
  return true
}

function otherSize(wanted: number, found: number): Problem {
  return new Problem('a cluster of another size is up', {
    expected: `${wanted} node(s)`,
    found: `${found} node(s)`,
    fix: `run down first, or up --nodes ${found}`,
  })
}

function wrongOption(option: string, expected: string, found: string): Problem {
  return new Problem(`${option} can't be that`, { expected, found, fix: `say ${option} with one of these` })
}

/** The one line on stdout, so that `eval "$(… up)"` works. */
function printKubeconfig(): void {
  const proxied = process.env['HTTPS_PROXY'] ?? process.env['https_proxy']
  if (proxied) say('A proxy is set in the environment: add the address of the cluster to NO_PROXY')
  say(`kubectl and tkn are in ${RUN_BIN}`)
  process.stdout.write(`export KUBECONFIG=${KUBECONFIG}\n`)
}
