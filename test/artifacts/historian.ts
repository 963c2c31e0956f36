/** A process that overwrites or reads one output again and again, and tells what it did and when. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { retrieveArtifacts, storeArtifact } from '../../src/artifacts/index.ts'
import { toWorkspaceError } from '../../src/errors.ts'
import type { Identity } from '../../src/identity.ts'
import { opened } from '../../src/stores/open.ts'
import { volumeArtifacts } from '../../src/stores/volume-artifacts.ts'
import { openVolume } from '../../src/volume/volume.ts'

export interface Order {
  root: string
  identity: Identity
  output: string
  /** A folder of this process's own. */
  folder: string
  rounds: number
  /** Writes under this name; without it, reads. */
  writer?: string
}

/** One call: times are nanoseconds of this machine's monotonic clock. */
export interface Call {
  kind: 'store' | 'retrieve'
  invoked: string
  completed: string
  /** What was written or read; every file of a tree has the same text. */
  text?: string
  digest?: string
  error?: string
}

process.on('message', (order: Order) => void work(order).then((calls) => process.send?.(calls)))

async function work(order: Order): Promise<Call[]> {
  const volume = await openVolume(order.root)
  const stores = [opened(volumeArtifacts(volume))]
  const common = { stores, emit: () => {}, signal: new AbortController().signal, identity: order.identity }
  const calls: Call[] = []
  for (let round = 0; round < order.rounds; round++) {
    const invoked = String(process.hrtime.bigint())
    const done = await (order.writer === undefined ? read() : write(`${order.writer}-${round}`)).catch(
      (error: unknown) => ({ error: toWorkspaceError(error).code }),
    )
    const kind = order.writer === undefined ? 'retrieve' : 'store'
    calls.push({ kind, invoked, completed: String(process.hrtime.bigint()), ...done })
  }
  return calls

  async function write(text: string) {
    const source = join(order.folder, 'source')
    await mkdir(source, { recursive: true })
    for (const name of ['a', 'b', 'c']) await writeFile(join(source, name), text)
    const request = { ...common, source, output: order.output, overwrite: true }
    return { text, digest: (await storeArtifact(request)).digest }
  }

  async function read() {
    const target = join(order.folder, 'target')
    await rm(target, { recursive: true, force: true })
    const wanted = { artifacts: [`build/${order.output}`], run: '', files: [], strip: 0, optional: false }
    const { artifacts } = await retrieveArtifacts({ ...common, ...wanted, conflicts: 'fail', target })
    const texts = await Promise.all(['a', 'b', 'c'].map((name) => readFile(join(target, name), 'utf8')))
    return { text: [...new Set(texts)].join(' and '), digest: artifacts[0]!.digest }
  }
}
