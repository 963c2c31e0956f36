/** Many files, and one that is larger than what fits into 32 bits: whole, and in bounded memory. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, it } from 'vitest'
import { temporaryFolder } from '../support/folder.ts'

/** Bytes. */
const SIZE = 4.25 * 1024 ** 3
const PROGRAM = join(import.meta.dirname, 'support/store-and-retrieve.ts')

async function storeAndRetrieve(source: string) {
  const folder = await temporaryFolder()
  const [volume, target] = [join(folder, 'volume'), join(folder, 'target')]
  await mkdir(volume)
  const { stdout } = await execa(process.execPath, [PROGRAM, volume, source, target])
  return { target, ...(JSON.parse(stdout) as Record<'files' | 'bytes' | 'retrieved' | 'peakMiB', number>) }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

it('an artifact of 100,000 files comes back whole', async () => {
  const source = await temporaryFolder()
  for (let folder = 0; folder < 100; folder++) {
    await mkdir(join(source, `folder-${folder}`))
    const names = Array.from({ length: 1000 }, (_, n) => join(source, `folder-${folder}`, `file-${n}`))
    await Promise.all(names.map((name, n) => writeFile(name, `${folder} ${n}\n`)))
  }
  const { target, files, retrieved, peakMiB } = await storeAndRetrieve(source)
  expect([files, retrieved]).toEqual([100_000, 100_000])
  await execa('diff', ['-r', source, target])
  // The target of the benchmark is 300; a leak shows at any figure.
  expect(peakMiB).toBeLessThan(450)
})

it('a file of more than 4 GiB with holes comes back whole', async () => {
  const source = await temporaryFolder()
  const handle = await open(join(source, 'large'), 'w')
  await handle.truncate(SIZE)
  for (const gib of [0, 1, 3, 4]) await handle.write(`at ${gib} GiB`, gib * 1024 ** 3)
  await handle.close()
  const { target, bytes, peakMiB } = await storeAndRetrieve(source)
  expect(bytes).toBe(SIZE)
  expect(await sha256(join(target, 'large'))).toBe(await sha256(join(source, 'large')))
  expect(peakMiB).toBeLessThan(300)
})
