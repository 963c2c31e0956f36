import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { replaceOnce, VARIANTS } from '../../hack/soak/variants.ts'

const root = join(import.meta.dirname, '../..')

test.for(Object.entries(VARIANTS))('what %s replaces is in the sources once', async ([, replacements]) => {
  for (const replacement of replacements) {
    const source = await readFile(join(root, replacement.file), 'utf8')
    expect(replaceOnce(source, replacement)).not.toBe(source)
  }
})

test('a text that is not there, or more than once, is an error', () => {
  const replacement = { file: 'a.ts', from: 'x', to: 'y' }
  expect(replaceOnce('axb', replacement)).toBe('ayb')
  for (const source of ['ab', 'axbx'])
    expect(() => replaceOnce(source, replacement)).toThrow('expected once in a.ts')
})
