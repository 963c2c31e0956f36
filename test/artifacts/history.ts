/**
 * Writers replace one output while others retrieve it, in processes of their own. The history of all calls is
 * checked: a retrieval gives one version whole, none that was replaced before it began, and none that had not begun
 * to be stored when it ended.
 */
import { fork } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { listEntries } from '../../src/volume/publish.ts'
import type { Call, Order } from './historian.ts'
import { identity, newFolder, newVolume, RUN_ID, store, makeTree } from './support.ts'

function start(order: Order): Promise<Call[]> {
  const child = fork(join(import.meta.dirname, 'historian.ts'), { execArgv: [] })
  return new Promise<Call[]>((resolve, reject) => {
    child.once('message', (calls) => resolve(calls as Call[]))
    child.once('exit', (code) => reject(new Error(`a process ended with ${code}`)))
    child.send(order)
  }).finally(() => child.kill())
}

/** What is wrong with a history. `versions`: the digest of each version, in the order they were published. */
export function violations(calls: readonly Call[], versions: readonly string[]): string[] {
  const found: string[] = []
  const textOf = new Map<string, string>()
  const position = (call: Call): number => versions.indexOf(call.digest ?? '')
  const stores = calls.filter(({ kind }) => kind === 'store')
  for (const { digest, text } of stores) if (digest && text) textOf.set(digest, text)
  for (const call of calls) {
    if (call.error) found.push(`${call.kind} failed: ${call.error}`)
    else if (position(call) < 0) found.push(`${call.kind} of ${call.text}, which was never published`)
  }
  for (const read of calls.filter(({ kind, error }) => kind === 'retrieve' && !error)) {
    if (textOf.get(read.digest ?? '') !== read.text) found.push(`read ${read.text} under another digest`)
    const newest = Math.max(
      -1,
      ...stores.filter((one) => BigInt(one.completed) < BigInt(read.invoked)).map(position),
    )
    if (position(read) < newest) found.push(`read ${read.text}, which had been replaced`)
    const itsStore = stores.find(({ digest }) => digest === read.digest)
    if (itsStore && BigInt(itsStore.invoked) > BigInt(read.completed))
      found.push(`read ${read.text} before it was stored`)
  }
  return found
}

async function versionsOf(folder: string): Promise<string[]> {
  const entries = (await listEntries(folder)).filter(({ isFolder }) => isFolder)
  const texts = await Promise.all(
    entries.map(({ name }) => readFile(join(folder, name, 'index.json'), 'utf8')),
  )
  return texts.map((text) => JSON.parse(text).manifests[0].digest)
}

/** Runs and checks a history of this many outputs, one after the other. @returns the number of calls */
export async function checkHistory(outputs: number, rounds: number): Promise<number> {
  const volume = await newVolume()
  let calls = 0
  for (let n = 0; n < outputs; n++) {
    const output = `out-${n}`
    const folder = await newFolder()
    const first = await store(volume, await makeTree({ a: 'first', b: 'first', c: 'first' }), { output })
    const started = ['writer-1', 'writer-2', 'reader-1', 'reader-2'].map(async (who) => {
      const own = join(folder, who)
      await mkdir(own)
      const order = { root: volume.layout.root, output, folder: own, rounds }
      const task = who.startsWith('writer') ? 'build' : 'use'
      const me = identity({ pod: who, task })
      return start({ ...order, identity: me, ...(task === 'build' ? { writer: `${who}-of-${n}` } : {}) })
    })
    const history: Call[] = [
      { kind: 'store', invoked: '0', completed: '0', text: 'first', digest: first.digest },
      ...(await Promise.all(started)).flat(),
    ]
    calls += history.length
    expect(violations(history, await versionsOf(volume.layout.artifact(RUN_ID, 'build', output)))).toEqual([])
    const texts = new Set(history.filter(({ kind }) => kind === 'retrieve').map(({ text }) => text))
    // Otherwise nothing was read while it was replaced.
    expect(texts.size).toBeGreaterThan(5)
  }
  return calls
}
