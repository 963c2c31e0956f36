import { describe, expect, it } from 'vitest'
import type { Call } from './historian.ts'
import { checkHistory, violations } from './history.ts'

it('a history of two writers and two readers shows whole versions only, and none that is out of date', async () => {
  expect(await checkHistory(3, 60)).toBeGreaterThan(700)
})

describe('the checker finds', () => {
  const call = (kind: Call['kind'], from: number, to: number, text: string, digest = `of-${text}`): Call => ({
    kind,
    invoked: String(from),
    completed: String(to),
    text,
    digest,
  })
  const stores = [call('store', 0, 1, 'one'), call('store', 4, 6, 'two')]
  const versions = ['of-one', 'of-two']

  it.each<[string, Call]>([
    ['an old version', call('retrieve', 7, 8, 'one')],
    ['a version from the future', call('retrieve', 2, 3, 'two')],
    ['a mixture', call('retrieve', 5, 7, 'one and two', 'of-two')],
    ['what was never stored', call('retrieve', 5, 7, 'three')],
    ['a failure', { ...call('retrieve', 5, 7, ''), error: 'ARTIFACT_NOT_FOUND' }],
  ])('%s', (_, read) => expect(violations([...stores, read], versions)).not.toEqual([]))

  it.each<[string, Call]>([
    ['either version while it is replaced', call('retrieve', 3, 5, 'one')],
    ['the new one while it is stored', call('retrieve', 3, 5, 'two')],
    ['the new one afterwards', call('retrieve', 7, 8, 'two')],
  ])('nothing wrong with %s', (_, read) => expect(violations([...stores, read], versions)).toEqual([]))
})
