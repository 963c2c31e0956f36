/** Params and results: their types, their defaults, and what is wrong with what was given. */
import { parseJson } from '../json.ts'
import type { Param, ParamSpec, ResultSpec, Type } from './schema.ts'
import { references, replacer, textsIn, type ReplacerOptions, type Value } from './variables.ts'

export type Values = Record<string, Value>

export const typeOf = (value: Value): Type =>
  typeof value === 'string' ? 'string' : Array.isArray(value) ? 'array' : 'object'

/** As Tekton infers it: the declared type, else that of the properties or the default. */
export const declaredType = (spec: ParamSpec | ResultSpec): Type =>
  spec.type ??
  (spec.properties ? 'object' : 'default' in spec && spec.default ? typeOf(spec.default) : 'string')

/** A value of the declared type, to check references with before anything has run. */
export function sampleOf(spec: ParamSpec | ResultSpec): Value {
  const type = declaredType(spec)
  if (type === 'string') return ''
  if (type === 'array') return ['']
  const fallback = 'default' in spec && typeof spec.default === 'object' ? Object.keys(spec.default) : []
  return Object.fromEntries([...Object.keys(spec.properties ?? {}), ...fallback].map((key) => [key, '']))
}

export const samplesOf = (specs: readonly (ParamSpec | ResultSpec)[]): Values =>
  Object.fromEntries(specs.map((spec) => [spec.name, sampleOf(spec)]))

export const toValues = (params: readonly Param[]): Values =>
  Object.fromEntries(params.map(({ name, value }) => [name, value]))

/** Values as a command line gives them: where the param is an array or an object, a text is its JSON. */
export const typed = (specs: readonly ParamSpec[], given: Values): Values =>
  Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const spec = specs.find((other) => other.name === name)
      const json =
        spec && declaredType(spec) !== 'string' && typeof value === 'string' ? parseJson(value) : undefined
      return [name, isTexts(json) ? json : value]
    }),
  )

/** Every text of the values, changed by `map`. */
export const mapTexts = (values: Values, map: (text: string) => string): Values =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      if (typeof value === 'string') return [name, map(value)]
      if (Array.isArray(value)) return [name, value.map(map)]
      return [name, Object.fromEntries(Object.entries(value).map(([key, text]) => [key, map(text)]))]
    }),
  )

/** The given values over the defaults. A default may refer to other params; an object's keys fill up. */
export function withDefaults(
  specs: readonly ParamSpec[],
  given: Values,
  options: ReplacerOptions = {},
): Values {
  const values = { ...given }
  const waiting = new Map<string, Value>()
  for (const spec of specs) {
    const here = values[spec.name]
    if (spec.default === undefined) continue
    if (here === undefined) waiting.set(spec.name, spec.default)
    else if (typeOf(here) === 'object' && typeOf(spec.default) === 'object') {
      values[spec.name] = { ...(spec.default as Record<string, string>), ...(here as Record<string, string>) }
    }
  }
  while (waiting.size > 0) {
    const ready = [...waiting].filter(([, value]) => !paramsIn(value).some((name) => waiting.has(name)))
    // Only defaults that refer to each other are left: replacing says which.
    for (const [name, value] of ready.length > 0 ? ready : waiting) {
      values[name] = replacer({ params: values }, options).value(value)
      waiting.delete(name)
    }
  }
  return values
}

const paramsIn = (value: Value): string[] =>
  textsIn(value)
    .flatMap(references)
    .flatMap(([root, name]) => (root === 'params' && name !== undefined ? [name] : []))

/** What is wrong with the given values, as sentences. */
export function checkParams(specs: readonly ParamSpec[], given: Values): string[] {
  const problems: string[] = []
  const names = specs.map((spec) => spec.name)
  for (const name of Object.keys(given)) {
    if (!names.includes(name)) {
      problems.push(
        `no param ${name} is declared; there ${names.length > 0 ? `is ${names.join(', ')}` : 'are none'}`,
      )
    }
  }
  for (const spec of specs) {
    const value = given[spec.name]
    if (value === undefined) {
      if (spec.default === undefined) problems.push(`the param ${spec.name} is missing`)
    } else if (typeOf(value) !== declaredType(spec)) {
      problems.push(
        `the param ${spec.name} takes ${article(declaredType(spec))}, found ${article(typeOf(value))}`,
      )
    } else if (typeof value === 'object' && !Array.isArray(value)) {
      const have: object = Object.assign({}, spec.default, value)
      const missing = Object.keys(spec.properties ?? {}).filter((key) => !Object.hasOwn(have, key))
      if (missing.length > 0) problems.push(`the param ${spec.name} lacks the keys ${missing.join(', ')}`)
    }
  }
  return problems
}

const article = (type: Type): string => (type === 'string' ? 'a string' : `an ${type}`)

/** A result file's content as the declared type. @throws Error where it is not of it. */
export function parseResult(spec: ResultSpec, content: string): Value {
  const type = declaredType(spec)
  if (type === 'string') return content
  const parsed = parseJson(content)
  if (!isTexts(parsed) || typeOf(parsed) !== type) {
    const expected = type === 'array' ? 'a JSON array of strings' : 'a JSON object of strings'
    throw new Error(`the result ${spec.name} is not ${expected}: ${content.slice(0, 200)}`)
  }
  const missing = Object.keys(spec.properties ?? {}).filter((key) => !Object.hasOwn(parsed, key))
  if (missing.length > 0) throw new Error(`the result ${spec.name} lacks the keys ${missing.join(', ')}`)
  return parsed
}

const isTexts = (value: unknown): value is string[] | Record<string, string> =>
  typeof value === 'object' &&
  value !== null &&
  Object.values(value).every((text) => typeof text === 'string')
