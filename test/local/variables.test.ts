import { describe, expect, test } from 'vitest'
import { childName } from '../../src/local/names.ts'
import { implicitPaths, pathMapper } from '../../src/local/paths.ts'
import { references, replacer } from '../../src/local/variables.ts'

const scope = {
  params: { s: 'text', a: ['x', 'y'], o: { k: 'v' }, 'with.dot': 'dotted', evil: '$(params.s) $& $1' },
  tasks: { t: { results: { r: 'result' } }, status: 'Succeeded' },
}

describe('replacement', () => {
  test.each([
    ['$(params.s)-$(params["s"])-$(params[\'with.dot\'])', 'text-text-dotted'],
    ['$(params.a[1])$(params.o.k)$(params.o["k"])', 'yvv'],
    ['$(tasks.t.results.r) $(tasks.status)', 'result Succeeded'],
    [
      '$(date) $(params) $(results) $((1+2)) ${params.s} $(params .s)',
      '$(date) $(params) $(results) $((1+2)) ${params.s} $(params .s)',
    ],
  ])('of %s', (text, expected) => {
    expect(replacer(scope).text(text)).toBe(expected)
  })

  test('never looks at what it has put in', () => {
    expect(replacer(scope).text('<$(params.evil)>')).toBe('<$(params.s) $& $1>')
  })

  test.each([
    '$(params.none)',
    '$(params.a[2])',
    '$(params.s.k)',
    '$(params.s[0])',
    '$(params.constructor)',
    '$(credentials.path)',
  ])('refuses %s', (text) => {
    expect(() => replacer(scope).text(text)).toThrow(`${text} refers to nothing here`)
    expect(replacer(scope, { lenient: true }).text(text)).toBe(text)
  })

  test('of arrays and objects needs them to stand alone', () => {
    expect(replacer(scope).list(['a', '$(params.a[*])', '$(params.s)'])).toEqual(['a', 'x', 'y', 'text'])
    expect(replacer(scope).value('$(params.o[*])')).toEqual({ k: 'v' })
    expect(() => replacer(scope).list(['a$(params.a[*])'])).toThrow('can only stand alone')
  })

  test('finds references without replacing them', () => {
    expect(references('$(tasks.a.results["x.y"]) $(date) $(tasks.b.results.c[*])')).toEqual([
      ['tasks', 'a', 'results', 'x.y'],
      ['tasks', 'b', 'results', 'c'],
    ])
  })
})

describe('paths of the pod', () => {
  const map = pathMapper(implicitPaths('/t').set('/workspace/shared', '/data').set('/cache.d', '/c'), [
    '/workspace/mine',
  ])

  test.each([
    ['/workspace', '/t/workspace'],
    ['/workspace/a/workspace', '/t/workspace/a/workspace'],
    ['/workspace/shared/x', '/data/x'],
    ['/workspace/shared2', '/t/workspace/shared2'],
    ['--out=/tekton/results/r', '--out=/t/tekton/results/r'],
    ['/tekton/home/bin:/workspace/bin', '/t/tekton/home/bin:/t/workspace/bin'],
    ['/cache.d/x', '/c/x'],
    ['/cachexd/x', '/cachexd/x'],
    ['/workspaces', '/workspaces'],
    ['/usr/workspace', '/usr/workspace'],
    ['https://host/workspace', 'https://host/workspace'],
    ['/workspace/mine/x', '/workspace/mine/x'],
    ['/tekton/bin', '/tekton/bin'],
  ])('%s becomes %s', (text, expected) => {
    expect(map(text)).toBe(expected)
  })
})

test('a name that would be too long keeps its end and has a hash in the middle', () => {
  expect(childName('run', '-task')).toBe('run-task')
  const name = childName('r'.repeat(60), '-task-3')
  expect(name).toMatch(/^r+[0-9a-f]{32}-task-3$/)
  expect(name).toHaveLength(63)
})
