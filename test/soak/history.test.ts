import { join } from 'node:path'
import { appendFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { openHistory, readHistories } from '../../hack/soak/history.ts'
import { temporaryFolder } from '../support/folder.ts'

test('what a process wrote is read again, each outcome with its invocation, whatever ended the process', async () => {
  const folder = await temporaryFolder()
  const path = join(folder, 'w7.jsonl')
  const append = openHistory(path)
  append({ t: 1, lane: 0, kind: 'acquire', lock: 'a', round: 0 })
  append({ t: 2, lane: 1, kind: 'look', lock: 'b', round: 4 })
  append({ t: 3, lane: 0, answer: { epoch: 5, ticket: 'x' } })
  append({ t: 4, beat: { ticket: 'x', n: 0 } })
  append({ t: 5, link: { lock: 'a', seq: 5 } })
  append({ t: 6, lane: 0, kind: 'release', lock: 'a', round: 0, epoch: 5 })
  append({ t: 7, lane: 0, error: { code: 'STALE_LOCK', why: 'gone' } })
  append({ t: 8, told: 'lock-taken-over', lock: 'b' })
  await appendFile(path, '{"t":9,"lane":1,"ans')

  expect(await readHistories(folder)).toEqual([
    {
      worker: 'w7',
      calls: [
        {
          worker: 'w7',
          invoked: 1,
          returned: 3,
          kind: 'acquire',
          lock: 'a',
          round: 0,
          answer: { epoch: 5, ticket: 'x' },
        },
        { worker: 'w7', invoked: 2, kind: 'look', lock: 'b', round: 4 },
        {
          worker: 'w7',
          invoked: 6,
          returned: 7,
          kind: 'release',
          lock: 'a',
          round: 0,
          epoch: 5,
          error: { code: 'STALE_LOCK', why: 'gone' },
        },
      ],
      links: [{ t: 5, lock: 'a', seq: 5 }],
      beats: [{ t: 4, ticket: 'x', n: 0 }],
      told: [{ t: 8, told: 'lock-taken-over', lock: 'b' }],
    },
  ])
})
