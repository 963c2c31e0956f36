import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { Entry, isEntry } from '../../src/artifacts/artifact-index.ts'

const good = [
  { type: 'file', path: 'a', mode: '0644', size: 1, sha256: 'a'.repeat(64), layer: 0, offset: 512 },
  { type: 'dir', path: 'a', mode: '0755' },
  { type: 'symlink', path: 'a', target: 'b' },
]
const hostile = [
  undefined,
  null,
  '',
  'a',
  '0644',
  '644',
  '00644',
  '0888',
  'A'.repeat(64),
  'a'.repeat(63),
  `${'a'.repeat(64)}\n`,
  'file',
  'dir',
  'symlink',
  'link',
  0,
  -0,
  -1,
  1.5,
  2 ** 53,
  Infinity,
  NaN,
  true,
  [],
  {},
]
const keys = ['type', 'path', 'mode', 'size', 'sha256', 'layer', 'offset', 'target']

it('lets through by hand what the schema lets through, and nothing else', () => {
  for (const entry of good) expect(isEntry(entry)).toBe(true)
  for (const value of hostile) expect(isEntry(value)).toBe(Entry.safeParse(value).success)
  const changes = fc.dictionary(fc.constantFrom(...keys), fc.constantFrom(...hostile), { maxKeys: 2 })
  fc.assert(
    fc.property(fc.constantFrom(...good), changes, (entry, changed) => {
      const candidate = { ...entry, ...changed }
      expect(isEntry(candidate), JSON.stringify(candidate)).toBe(Entry.safeParse(candidate).success)
    }),
    { numRuns: 5000 },
  )
})
