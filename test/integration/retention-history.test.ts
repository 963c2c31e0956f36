import { fork } from 'node:child_process'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { mark } from '../../src/retention/mark.ts'
import { newFolder, newVolume, outputFolder, retrieve } from '../artifacts/support.ts'
import { clean } from '../retention/support.ts'
import type { Answer, Order } from '../retention/worker.ts'

/** How often each has to happen at the least: otherwise nothing raced. A slow machine takes more turns for that. */
const ENOUGH = { rounds: 3000, swept: 200, purged: 40, broughtBack: 10 }
const TURN_MS = 20_000
const TURNS = 20
/** Longer than any writer here takes from finding a blob to looking at it again, on a busy machine too. */
const PURGE_AFTER = 6000

const ROLES: Order['role'][] = ['store', 'store', 'retrieve', 'retrieve', 'delete', 'sweep', 'sweep', 'purge']

it('no artifact ever misses a blob while writers, readers, deleters and collectors work side by side', async () => {
  const volume = await newVolume()
  const folder = await newFolder()
  const figures = { rounds: 0, swept: 0, purged: 0, broughtBack: 0 }
  const names = Object.keys(ENOUGH) as (keyof typeof ENOUGH)[]
  const isEnough = (): boolean => names.every((name) => figures[name] > ENOUGH[name])
  for (let turn = 0; turn < TURNS && !isEnough(); turn++) {
    const answers = await compete(volume.layout.root, join(folder, String(turn)))
    expect(answers.flatMap(({ violations }) => violations)).toEqual([])
    for (const answer of answers) for (const name of names) figures[name] += answer[name]
  }
  console.log(JSON.stringify(figures))
  expect(isEnough(), JSON.stringify(figures)).toBe(true)

  const { missing, problems } = await mark(volume)
  expect({ missing: [...missing], problems }).toEqual({ missing: [], problems: [] })
  expect((await clean(volume, {}, { scrubBytes: 2 ** 40 })).damaged).toEqual([])
  for (const output of await readdir(join(outputFolder(volume), '..')))
    await retrieve(volume, join(await newFolder(), 'target'), { artifacts: [`build/${output}`] })
}, 900_000)

/** All work on the volume for a while, as a process each. */
async function compete(root: string, folder: string): Promise<Answer[]> {
  const workers = await Promise.all(
    ROLES.map(async (role, n) => {
      const child = fork(join(import.meta.dirname, '../retention/worker.ts'), { execArgv: [] })
      onTestFinished(() => void child.kill())
      const own = join(folder, String(n))
      const order: Order = { root, role, folder: own, outputs: 8, contents: 25, purgeAfter: PURGE_AFTER }
      const answered = new Promise<Answer>((resolve, reject) => {
        child.once('message', (answer) => resolve(answer as Answer))
        child.once('exit', (code) => reject(new Error(`a ${role} ended with ${code}`)))
      })
      await mkdir(own, { recursive: true })
      child.send(order)
      return { child, answered }
    }),
  )
  await Promise.race([delay(TURN_MS), ...workers.map(({ answered }) => answered)])
  for (const { child } of workers) child.send('stop')
  const answers = await Promise.all(workers.map(({ answered }) => answered))
  for (const { child } of workers) child.kill()
  return answers
}
