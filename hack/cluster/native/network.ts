import { execa } from 'execa'
import { Problem } from '../base/problem.ts'
import { SYSTEM_PATH } from '../binaries/packages.ts'
import { API_ADDRESS, type NodePlan } from './layout.ts'
import { runInNode } from './namespaces.ts'
import type { ProcessRecord } from './processes.ts'

/**
 * Links are pairs from point to point, machine to node and node to node, without a bridge on the machine: its
 * packet filter, where Docker may drop what is forwarded, never sees them, and nothing of it is changed.
 */
export async function connectNode(node: NodePlan, init: ProcessRecord): Promise<void> {
  const { link, address, podRange } = node
  await ip(`link add ${link} type veth peer name eth0 netns ${init.pid}`)
  await ip(`addr add ${API_ADDRESS}/32 dev ${link}`)
  await ip(`link set ${link} up`)
  await inside(init, [
    'link set lo up',
    `addr add ${address}/32 dev eth0`,
    'link set eth0 up',
    `route add ${API_ADDRESS} dev eth0`,
    `route add default via ${API_ADDRESS} dev eth0`,
  ])
  await ip(`route add ${address} dev ${link} src ${API_ADDRESS}`)
  await ip(`route add ${podRange} via ${address} dev ${link} src ${API_ADDRESS}`)
}

export interface ConnectedNode {
  plan: NodePlan
  init: ProcessRecord
}

/** Links two nodes, so that their pods reach each other without the machine's help. */
export async function connectPeers(a: ConnectedNode, b: ConnectedNode): Promise<void> {
  const [endA, endB] = [a.plan.peerLink, b.plan.peerLink]
  await ip(`link add ${endA} netns ${a.init.pid} type veth peer name ${endB} netns ${b.init.pid}`)
  await Promise.all([routeToPeer(a, b), routeToPeer(b, a)])
}

async function routeToPeer({ plan, init }: ConnectedNode, { plan: peer }: ConnectedNode): Promise<void> {
  await inside(init, [
    `link set ${plan.peerLink} up`,
    `route add ${peer.address} dev ${plan.peerLink} src ${plan.address}`,
    `route add ${peer.podRange} via ${peer.address} dev ${plan.peerLink} src ${plan.address}`,
  ])
}

/** Refuses addresses that mean something here already. */
export async function requireFreeAddresses(nodes: readonly NodePlan[]): Promise<void> {
  const { stdout } = await execa('ip', ['-4', 'route', 'show', 'table', 'all'], {
    env: { PATH: SYSTEM_PATH },
  })
  const wanted = [API_ADDRESS, ...nodes.flatMap(({ address, podRange }) => [address, podRange])]
  const taken = stdout
    .split('\n')
    .filter((route) => wanted.some((address) => route.split(' ').includes(address)))
  if (taken.length === 0) return
  throw new Problem('an address that the native cluster uses is taken on this machine', {
    expected: `no route to ${wanted.join(', ')}`,
    found: taken.join(' | '),
    fix: 'end what uses it, or use a cluster of your own: up --provider existing',
  })
}

/** Removes the machine's ends of the links. They also go by themselves, a moment after their node. */
export async function removeLinks(nodes: readonly NodePlan[]): Promise<void> {
  for (const link of await linksOf(nodes)) await ip(`link delete ${link}`).catch(() => undefined)
}

export async function linksOf(nodes: readonly NodePlan[]): Promise<string[]> {
  const { stdout } = await execa('ip', ['-brief', 'link'], { env: { PATH: SYSTEM_PATH } })
  const names = stdout.split('\n').map((line) => line.split(/[@ ]/)[0])
  return nodes.map(({ link }) => link).filter((link) => names.includes(link))
}

async function inside(init: ProcessRecord, commands: readonly string[]): Promise<void> {
  for (const command of commands) await runInNode(init, ['ip', ...command.split(' ')])
}

async function ip(command: string): Promise<void> {
  await execa('ip', command.split(' '), { env: { PATH: SYSTEM_PATH } })
}
