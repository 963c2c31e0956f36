import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { arrayParam, defineStep, param } from '../../src/contract.ts'
import { duration, flag, globs, optionalDuration } from '../../src/schemas.ts'
import { readContext, writeResults } from '../../src/steps/runtime.ts'
import { temporaryFolder } from '../support/folder.ts'
import { identityOf } from '../support/step.ts'

const contract = defineStep({
  name: 'sample',
  version: '0.1',
  displayName: '',
  summary: '',
  description: '',
  categories: [],
  tags: [],
  params: {
    someCount: param(z.coerce.number().int('expected a whole number'), ''),
    dryRun: param(flag, '', 'false'),
    things: arrayParam(z.string().min(2, 'too short'), ''),
  },
  results: { small: { description: '' }, pair: { description: '', properties: ['a', 'b'] } },
  workspaces: { shared: { description: '' }, other: { description: '', optional: true } },
  errors: [],
  resources: { requests: { cpu: '', memory: '' }, limits: { cpu: '', memory: '' } },
  sample: {},
})
const env = {
  ...identityOf('r', 't'),
  PARAM_SOME_COUNT: '3',
  PARAM_DRY_RUN: 'true',
  WORKSPACE_SHARED: '/shared',
  WORKSPACE_OTHER: '',
}
const read = (over: Record<string, string>, args = ['one', 'two']) =>
  readContext(contract, { ...env, ...over }, args, () => undefined, new AbortController().signal)

describe('the environment of a step', () => {
  it('becomes typed values', () => {
    const { params, workspaces } = read({})
    expect(params).toEqual({ someCount: 3, dryRun: true, things: ['one', 'two'] })
    expect(workspaces).toEqual({ shared: '/shared' })
  })

  it('is refused whole, with all that is wrong', () => {
    const wrong = () => read({ PARAM_SOME_COUNT: '1.5', PARAM_DRY_RUN: 'yes', WORKSPACE_SHARED: '' }, ['x'])
    expect(wrong).toThrow(
      /someCount: expected a whole number, found "1.5".*dryRun: expected true or false, found "yes".*things: too short.*shared is not bound/,
    )
    expect(() => read({}, [])).toThrow(/things: at least one/)
  })
})

describe('results', () => {
  it('are refused when Tekton could drop them', async () => {
    const folder = await temporaryFolder()
    const write = writeResults(contract, { RESULT_SMALL: `${folder}/small` }, { small: 'x'.repeat(2000) })
    await expect(write).rejects.toMatchObject({ code: 'RESULT_TOO_LARGE', found: '2005 bytes' })
  })
})

describe('durations', () => {
  it.each([
    ['90s', 90_000],
    ['1h30m', 5_400_000],
    ['7d', 604_800_000],
    ['1ms', 1],
  ])('%s is %d ms', (text, ms) => expect(duration.parse(text)).toBe(ms))

  it.each(['0s', '-1s', '10', '', '1h 30m', '400d', 'ten minutes', '1e9s'])('%s is refused', (text) =>
    expect(duration.safeParse(text).success).toBe(false),
  )

  it('may be left out where that is said, and say what was expected otherwise', () => {
    expect(optionalDuration.parse('')).toBeUndefined()
    expect(() => optionalDuration.parse('soon')).toThrow(/expected a duration over 0/)
  })
})

it('globs come by line or by comma', () =>
  expect(globs.parse('a/**, *.{js,ts},b\n c ')).toEqual(['a/**', '*.{js,ts}', 'b', 'c']))
