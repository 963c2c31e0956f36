import { fork } from 'node:child_process'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { mark } from '../../src/retention/mark.ts'
import { newFolder, newVolume, outputFolder, retrieve } from '../artifacts/support.ts'
import { clean } from '../retention/support.ts'
import type { Answer, Order } from '../retention/worker.ts'

const SECONDS = 40
/** Longer than any writer here takes from finding a blob to looking at it again, on a busy machine too. */
const PURGE_AFTER = 4000

it('no artifact ever misses a blob while writers, readers, deleters and collectors work side by side', async () => {
  const volume = await newVolume()
  const folder = await newFolder()
  const roles: Order['role'][] = [
    'store',
    'store',
    'retrieve',
    'retrieve',
    'delete',
    'sweep',
    'sweep',
    'purge',
  ]
  const workers = roles.map((role, n) => {
    const child = fork(join(import.meta.dirname, '../retention/worker.ts'), { execArgv: [] })
    onTestFinished(() => void child.kill())
    const own = join(folder, String(n))
    const order: Order = {
      root: volume.layout.root,
      role,
      folder: own,
      outputs: 8,
      contents: 25,
      purgeAfter: PURGE_AFTER,
    }
    const answered = new Promise<Answer>((resolve, reject) => {
      child.once('message', (answer) => resolve(answer as Answer))
      child.once('exit', (code) => reject(new Error(`a ${role} ended with ${code}`)))
    })
    return { child, role, order, own, answered }
  })
  for (const { child, order, own } of workers) {
    await mkdir(own)
    child.send(order)
  }
  await Promise.race([delay(SECONDS * 1000), ...workers.map(({ answered }) => answered)])
  for (const { child } of workers) child.send('stop')
  const answers = await Promise.all(workers.map(({ answered }) => answered))
  const sum = (count: (answer: Answer) => number): number => answers.reduce((n, one) => n + count(one), 0)
  expect(answers.flatMap(({ violations }) => violations)).toEqual([])

  const { missing, problems } = await mark(volume)
  expect({ missing: [...missing], problems }).toEqual({ missing: [], problems: [] })
  expect((await clean(volume, {}, { scrubBytes: 2 ** 40 })).damaged).toEqual([])
  for (const output of await readdir(join(outputFolder(volume), '..')))
    await retrieve(volume, join(await newFolder(), 'target'), { artifacts: [`build/${output}`] })

  // Otherwise nothing raced.
  const figures = {
    rounds: sum(({ rounds }) => rounds),
    swept: sum(({ swept }) => swept),
    purged: sum(({ purged }) => purged),
    broughtBack: sum(({ broughtBack }) => broughtBack),
  }
  expect(figures.rounds).toBeGreaterThan(1000)
  expect(figures.swept).toBeGreaterThan(100)
  expect(figures.purged).toBeGreaterThan(20)
  expect(figures.broughtBack).toBeGreaterThan(5)
}, 240_000)
