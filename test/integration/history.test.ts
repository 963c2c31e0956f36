/** The history of test/artifacts/history.ts, over thousands of calls. */
import { expect, it } from 'vitest'
import { checkHistory } from '../artifacts/history.ts'

it('artifacts that are replaced while they are retrieved are whole and up to date, in thousands of calls', async () => {
  expect(await checkHistory(14, 120)).toBeGreaterThan(6_000)
})
