import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readChange } from '../../src/change.ts'
import { scopeFolder, scopesOf } from '../../src/cache/scope.ts'
import { checkName } from '../../src/volume/layout.ts'

/** What Pipelines-as-Code writes for a push and for a pull request. */
const PUSH = {
  PAC_REPO_URL: 'https://github.com/acme/shop',
  PAC_BRANCH: 'refs/heads/main',
  PAC_EVENT_TYPE: 'push',
  PAC_PULL_REQUEST: '',
}
const PULL = { ...PUSH, PAC_BRANCH: 'main', PAC_EVENT_TYPE: 'pull_request', PAC_PULL_REQUEST: '12' }
const NONE = { scope: '', fallbackScopes: [] }
const scopes = (env: Record<string, string>) => scopesOf(readChange(env), NONE)

describe('the scope of a run', () => {
  it('is the repository and branch of a push', () => {
    expect(scopes(PUSH)).toEqual({ own: 'github.com/acme/shop#main', fallbacks: [] })
  })

  it('is its own for a pull request, which reads that of its target branch', () => {
    expect(scopes(PULL)).toEqual({ own: 'github.com/acme/shop!12', fallbacks: ['github.com/acme/shop#main'] })
  })

  it('is that of the branch for the push of a merged pull request', () => {
    expect(scopes({ ...PUSH, PAC_PULL_REQUEST: '12' })).toEqual(scopes(PUSH))
  })

  it.each(['test-comment', 'retest-all-comment', 'Merge Request'])(
    'is that of the pull request for the event %s',
    (event) => expect(scopes({ ...PULL, PAC_EVENT_TYPE: event })).toEqual(scopes(PULL)),
  )

  it('is the same however the URL is written', () => {
    for (const url of ['https://github.com/acme/shop.git', 'https://me:secret@github.com/acme/shop/'])
      expect(scopes({ ...PUSH, PAC_REPO_URL: url })).toEqual(scopes(PUSH))
  })

  it('of a tag is not that of a branch', () => {
    expect(scopes({ ...PUSH, PAC_BRANCH: 'refs/tags/main' }).own).toBe('github.com/acme/shop#refs/tags/main')
  })

  it('is the default where nothing is known', () => {
    expect(scopes({})).toEqual({ own: 'default', fallbacks: [] })
    expect(scopes({ ...PUSH, PAC_BRANCH: '' })).toEqual({ own: 'default', fallbacks: [] })
  })

  it('is what the parameters say', () => {
    const given = { scope: 'mine', fallbackScopes: ['main', 'old'] }
    expect(scopesOf(readChange(PULL), given)).toEqual({ own: 'mine', fallbacks: ['main', 'old'] })
    const more = scopesOf(readChange(PULL), { ...given, scope: '' })
    expect(more.fallbacks).toEqual(['github.com/acme/shop#main', 'main', 'old'])
  })

  it('never meets that of a pull request, whatever a branch is called', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.nat(), (branch, number) => {
        const push = scopes({ ...PUSH, PAC_BRANCH: `refs/heads/${branch}` })
        expect(push.own).not.toBe(scopes({ ...PULL, PAC_PULL_REQUEST: String(number) }).own)
      }),
    )
  })
})

describe('the folder of a scope', () => {
  it('can be read', () => {
    expect(scopeFolder('github.com/acme/shop#main')).toBe('github.com_2facme_2fshop_23main')
    expect(scopeFolder('team-a.v1')).toBe('team-a.v1')
  })

  const scope = fc
    .tuple(fc.stringMatching(/^[a-zA-Z0-9]$/), fc.string({ unit: 'grapheme', maxLength: 200 }))
    .map((parts) => parts.join(''))
  /** Close to each other, where an encoding may go wrong. */
  const close = fc.stringMatching(/^[a2](_|2f|\/|5f|\.|-){0,70}$/)

  it.each([
    ['of any text', scope],
    ['of similar texts', close],
  ])('is one safe name, another for every other scope: %s', (_, scopes) => {
    fc.assert(
      fc.property(scopes, scopes, (one, other) => {
        expect(checkName(scopeFolder(one), 'scope')).toBeTruthy()
        expect(scopeFolder(one) === scopeFolder(other)).toBe(one === other)
      }),
      { numRuns: 1000 },
    )
  })

  it('is not that of a scope which looks like it', () => {
    fc.assert(
      fc.property(scope, (text) => {
        const folder = scopeFolder(text)
        expect(scopeFolder(folder) === folder).toBe(folder === text)
      }),
    )
    expect(scopeFolder('a_2fb')).not.toBe(scopeFolder('a/b'))
  })

  it.each(['../up', '.hidden', '', '-x', '/abs'])('of %j is refused', (text) => {
    expect(() => scopeFolder(text)).toThrow(/cannot be a scope/)
  })

  it('that would be too long keeps its beginning', () => {
    const [one, other] = ['a', 'b'].map((end) => scopeFolder(`github.com/${'x'.repeat(200)}${end}`))
    expect(one).toHaveLength(128)
    expect(one).toMatch(/^github\.com_2fx+__[0-9a-f]{32}$/)
    expect(other).not.toBe(one)
  })
})
