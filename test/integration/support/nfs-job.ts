/** Runs inside the machine of `./run filesystem nfs`: finds out what its two clients are to each other. */
import { execFileSync, spawnSync } from 'node:child_process'
import { link, mkdir, open, readdir, stat, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface NfsFacts {
  /** Whether one client got a lock, then the other one while it was held, and after it was released. */
  flock: { first: boolean; whileHeld: boolean; afterRelease: boolean }
  /** How the other client found a name that it had looked for in vain: by stat, by a listing, by stat after it. */
  newNames: { stat: boolean; listed: boolean; statAfterwards: boolean }[]
  /** Of each race for a name: who linked it, and the links that the winner's file had then. */
  races: { winners: string[]; losers: string[]; links: number }[]
  cut: { doneWhileCut: boolean; otherDone: boolean; secondsToHeal: number; content: string }
}

const a = process.env['MOUNT_A'] ?? ''
const b = process.env['MOUNT_B'] ?? ''

const there = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** By util-linux: a flock belongs to the open file, which parent and child share. */
function tryFlock(fd: number, how: '--exclusive' | '--unlock'): boolean {
  const { status } = spawnSync('flock', [how, '--nonblock', '--conflict-exit-code', '75', '3'], {
    stdio: ['ignore', 'inherit', 'inherit', fd],
  })
  if (status === 0 || status === 75) return status === 0
  throw new Error(`flock ended with ${status}`)
}

async function flock(): Promise<NfsFacts['flock']> {
  await writeFile(join(a, 'lock'), '')
  const holder = await open(join(a, 'lock'), 'r+')
  const other = await open(join(b, 'lock'), 'r+')
  const first = tryFlock(holder.fd, '--exclusive')
  const whileHeld = tryFlock(other.fd, '--exclusive')
  tryFlock(holder.fd, '--unlock')
  const afterRelease = tryFlock(other.fd, '--exclusive')
  await Promise.all([holder.close(), other.close()])
  return { first, whileHeld, afterRelease }
}

async function newName(round: number): Promise<NfsFacts['newNames'][number]> {
  const folder = `names-${round}`
  await mkdir(join(a, folder))
  await readdir(b)
  const path = join(b, folder, 'name')
  if (await there(path)) throw new Error('the name is there before it is made')
  await writeFile(join(a, folder, 'name'), 'content')
  return {
    stat: await there(path),
    listed: (await readdir(join(b, folder))).includes('name'),
    statAfterwards: await there(path),
  }
}

async function race(round: number): Promise<NfsFacts['races'][number]> {
  const tries = [a, b].map((mount, index) => ({
    from: join(mount, `from-${index}`),
    to: join(mount, `to-${round}`),
  }))
  for (const { from } of tries) await writeFile(from, '')
  // Each begins half of the races.
  const order = round % 2 === 0 ? tries : tries.toReversed()
  const results = await Promise.allSettled(order.map(({ from, to }) => link(from, to)))
  const of = (status: string): number[] =>
    results.flatMap((result, i) => (result.status === status ? [i] : []))
  const winners = of('fulfilled').map((i) => order[i]!.from)
  const losers = of('rejected').map(
    (i) => ((results[i] as PromiseRejectedResult).reason as { code: string }).code,
  )
  const links = winners[0] === undefined ? 0 : (await stat(winners[0])).nlink
  for (const { from } of tries) await unlink(from)
  return { winners, losers, links }
}

async function cut(): Promise<NfsFacts['cut']> {
  execFileSync('cut-network', ['b'])
  let done = false
  const write = writeFile(join(b, 'during'), 'written by b', { flush: true }).then(() => (done = true))
  await writeFile(join(a, 'meanwhile'), 'written by a', { flush: true })
  await sleep(8_000)
  const doneWhileCut = done
  const otherDone = await there(join(a, 'meanwhile'))
  execFileSync('heal-network', ['b'])
  const start = performance.now()
  await write
  const secondsToHeal = (performance.now() - start) / 1000
  const names = await readdir(a)
  return { doneWhileCut, otherDone, secondsToHeal, content: names.includes('during') ? 'there' : 'missing' }
}

const facts: NfsFacts = { flock: await flock(), newNames: [], races: [], cut: await cut() }
for (let round = 0; round < 5; round++) facts.newNames.push(await newName(round))
for (let round = 0; round < 100; round++) facts.races.push(await race(round))
await mkdir('/job/out')
await writeFile('/job/out/facts.json', JSON.stringify(facts))
console.log('a word on stdout')
console.error('a word on stderr')
process.exitCode = 42
