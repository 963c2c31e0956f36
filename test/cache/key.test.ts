import { chmod, mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hashFiles } from '../../src/cache/hash-files.ts'
import { forPlatform, renderKey } from '../../src/cache/key.ts'
import { codeOf } from '../artifacts/support.ts'
import { makeTree, newFolder } from './support.ts'

const names = fc.stringMatching(/^[a-z]{1,3}(\/[a-z]{1,3}){0,2}\.lock$/)
const trees = fc.dictionary(names, fc.string({ maxLength: 20 }), {
  minKeys: 1,
  maxKeys: 6,
  noNullPrototype: true,
})
const RUNS = { numRuns: 60 }

/** A tree with its files made in that order, at times of their own. */
async function made(files: readonly (readonly [string, string])[]): Promise<string> {
  const folder = await newFolder()
  for (const [n, [path, content]] of files.entries()) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
    await utimes(join(folder, path), n, n)
  }
  return folder
}

describe('the hash of files', () => {
  it('depends on neither the order nor the times of what it is made of', async () => {
    const orders = trees.chain((tree) => {
      const files = Object.entries(tree)
      return fc.tuple(
        fc.constant(files),
        fc.shuffledSubarray(files, { minLength: files.length, maxLength: files.length }),
      )
    })
    await fc.assert(
      fc.asyncProperty(orders, async ([one, other]) => {
        expect(await hashFiles(await made(one), ['**/*.lock'])).toBe(
          await hashFiles(await made(other), ['**/*.lock']),
        )
      }),
      RUNS,
    )
  })

  it('differs for every other tree: names matter as contents do', async () => {
    await fc.assert(
      fc.asyncProperty(trees, trees, async (one, other) => {
        const hashes = [one, other].map(async (tree) =>
          hashFiles(await made(Object.entries(tree)), ['**/*.lock']),
        )
        const [a, b] = await Promise.all(hashes)
        const sorted = (tree: object): string => JSON.stringify(Object.entries(tree).sort())
        expect(a === b).toBe(sorted(one) === sorted(other))
      }),
      RUNS,
    )
  })

  it.each([
    ['another name', { 'b/x.lock': '1' }],
    ['another content', { 'a/x.lock': '2' }],
    ['one file more', { 'a/x.lock': '1', 'y.lock': '' }],
    ['content that moved from one to another', { 'a/x.lock': '', 'y.lock': '1' }],
    ['a symlink instead', { 'a/x.lock': { link: '1' } }],
  ])('differs for %s', async (_, tree) => {
    const hash = (folder: string): Promise<string> => hashFiles(folder, ['**/*.lock'])
    expect(await hash(await makeTree(tree))).not.toBe(await hash(await makeTree({ 'a/x.lock': '1' })))
  })

  it('is not of what does not match, of modes, nor of what is excluded', async () => {
    const folder = await makeTree({ 'x.lock': '1', 'sub/x.lock': '2' })
    const globs = ['**/x.lock', '!**/node_modules']
    const before = await hashFiles(folder, globs)
    await makeTree({ other: 'o', '.git/x.lock': 'g', 'sub/node_modules/deep/x.lock': 'n' }, folder)
    await chmod(join(folder, 'x.lock'), 0o755)
    expect(await hashFiles(folder, globs)).toBe(before)
    expect(await hashFiles(folder, ['**/x.lock'])).not.toBe(before)
    await rm(join(folder, 'sub/x.lock'))
    expect(await hashFiles(folder, globs)).not.toBe(before)
  })

  it('is the same however a file is named, and follows no symlinks', async () => {
    const folder = await makeTree({ 'a/x.lock': '1' })
    const expected = await hashFiles(folder, ['a/x.lock'])
    for (const globs of [['./a/x.lock'], ['a/*.lock'], ['**/x.lock', 'a/*'], ['{a,b}/x.lock']])
      expect(await hashFiles(folder, globs)).toBe(expected)
    const outside = await makeTree({ 'x.lock': 'other' })
    await symlink(outside, join(folder, 'linked'))
    expect(await hashFiles(folder, ['**/x.lock'])).toBe(expected)
  })

  it.each([['nothing.lock'], ['missing/**'], ['a/x.lock/deeper'], ['a']])(
    'of nothing at all is an error: %s',
    async (glob) => {
      const folder = await makeTree({ 'a/x.lock': '1' })
      expect(await codeOf(hashFiles(folder, [glob]))).toBe('SOURCE_NOT_FOUND')
    },
  )

  it.each(['../x', '/etc/passwd', 'a/../../x', '!../x', ''])('refuses to look for %j', async (glob) => {
    expect(await codeOf(hashFiles(await newFolder(), ['x', glob]))).toBe('USAGE')
  })
})

describe('a key', () => {
  it('is its template with the hashes filled in', async () => {
    const folder = await makeTree({ 'x.lock': '1', 'y.lock': '2' })
    const [x, both] = [await hashFiles(folder, ['x.lock']), await hashFiles(folder, ['x.lock', 'y.lock'])]
    const template = `npm-{{hashFiles('x.lock')}}-{{ hashFiles( "y.lock" , 'x.lock' ) }}.z`
    expect(await renderKey(template, () => folder)).toBe(`npm-${x}-${both}.z`)
    expect(x).toMatch(/^[0-9a-f]{32}$/)
  })

  it('without hashes asks for no folder', async () => {
    const refuse = (): string => expect.fail('asked')
    expect(await renderKey('npm-22', refuse)).toBe('npm-22')
  })

  it.each([
    '{{hash}}',
    '{{ hashFiles() }}',
    "{{hashFiles('x' 'y')}}",
    "a-{{hashFiles('x.lock')}}-{{os}}",
    "hashFiles('x')}}",
  ])('with the unknown expression %s is an error', async (template) => {
    const folder = await makeTree({ 'x.lock': '1' })
    expect(await codeOf(renderKey(template, () => folder))).toBe('USAGE')
  })

  it('of a platform begins with its name', () => {
    expect(forPlatform('npm')).toMatch(/^linux-(amd64|arm64)-npm$/)
  })
})
