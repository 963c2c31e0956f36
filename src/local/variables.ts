/** Tekton's `$(…)`: references to params, results, workspaces and the run's context, and their replacement. */

/** What a param or a result holds. */
export type Value = string | string[] | { [key: string]: string }

/** The variables in reach, as nested objects: `$(tasks.build.results.image)` walks them. */
export interface Scope {
  readonly [name: string]: Value | Scope | undefined
}

/** A reference that cannot be replaced; the message says which and why. */
export class ReferenceError extends Error {}

/** Takes what is wrong; `where` is a file or an object, with the path of a field. */
export type Report = (where: string, problem: string) => void

/** Runs `action`; a reference that fails in it is reported and gives the fallback. */
export function attempt<T>(report: Report, where: string, fallback: T, action: () => T): T {
  try {
    return action()
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error
    report(where, error.message)
    return fallback
  }
}

interface Reference {
  path: string[]
  index?: number | '*'
}

const REFERENCE =
  /\$\(((?:params|tasks|finally|context|workspaces|results|steps|step|credentials|artifacts|inputs|outputs)[.[][^()\s]*)\)/g
const SEGMENT = /\.?([\w-]+)|\[(?:'([^']+)'|"([^"]+)"|(\d+)|(\*))\]/y

function parse(inner: string): Reference | undefined {
  const path: string[] = []
  let at = 0
  while (at < inner.length) {
    SEGMENT.lastIndex = at
    const match = SEGMENT.exec(inner)
    if (!match) return undefined
    at = SEGMENT.lastIndex
    const name = match[1] ?? match[2] ?? match[3]
    if (name !== undefined) path.push(name)
    else if (at === inner.length) return { path, index: match[5] ? '*' : Number(match[4]) }
    else return undefined
  }
  return { path }
}

/** The paths of all references in a text. What is no reference of Tekton's, such as `$(date)`, is left alone. */
export function references(text: string): string[][] {
  return [...text.matchAll(REFERENCE)].flatMap((match) => {
    const reference = parse(match[1] ?? '')
    return reference ? [reference.path] : []
  })
}

export interface Replacer {
  /** A text with every reference replaced by a text. */
  text(text: string): string
  /** A list in which an element that is just `$(…[*])` becomes the elements of that array. */
  list(texts: readonly string[]): string[]
  /** A value; one that is just a reference takes the array or object that it refers to. */
  value(value: Value): Value
}

export interface ReplacerOptions {
  /** Leaves alone what cannot be replaced. */
  lenient?: boolean
  /** For checks before anything has run: a sample of an array has an element at any index. */
  sample?: boolean
}

export function replacer(scope: Scope, options: ReplacerOptions = {}): Replacer {
  const resolve = (inner: string): Value | undefined => {
    const reference = parse(inner)
    if (!reference) return undefined
    const found = walk(scope, reference, options.sample === true)
    if (found === undefined && !options.lenient)
      throw new ReferenceError(`$(${inner}) refers to nothing here`)
    return found
  }
  const whole = (text: string): Value | undefined => {
    const match = text.match(REFERENCE)
    return match?.length === 1 && match[0] === text ? resolve(text.slice(2, -1)) : undefined
  }
  const text = (written: string): string =>
    written.replace(REFERENCE, (all, inner: string) => {
      const found = resolve(inner)
      if (found === undefined) return all
      if (typeof found === 'string') return found
      throw new ReferenceError(`${all} is not a text: an array can only stand alone, as an element of a list`)
    })
  const list = (texts: readonly string[]): string[] =>
    texts.flatMap((element) => {
      const found = whole(element)
      return Array.isArray(found) ? found : [text(element)]
    })
  const value = (written: Value): Value => {
    if (typeof written === 'string') return whole(written) ?? text(written)
    if (Array.isArray(written)) return list(written)
    return Object.fromEntries(Object.entries(written).map(([key, element]) => [key, text(element)]))
  }
  return { text, list, value }
}

function walk(scope: Scope, { path, index }: Reference, sample: boolean): Value | undefined {
  let at: Value | Scope | undefined = scope
  for (const name of path) {
    if (typeof at !== 'object' || Array.isArray(at) || !Object.hasOwn(at, name)) return undefined
    at = at[name]
  }
  if (index === undefined) return isValue(at) ? at : undefined
  if (index === '*') return typeof at === 'object' && isValue(at) ? at : undefined
  if (!Array.isArray(at)) return undefined
  // A sample is one empty text, whatever the array will hold.
  return at[index] ?? (sample && at.length === 1 && at[0] === '' ? '' : undefined)
}

const isValue = (found: Value | Scope | undefined): found is Value =>
  typeof found === 'string' ||
  Array.isArray(found) ||
  (typeof found === 'object' && Object.values(found).every((element) => typeof element === 'string'))

/** What the kubelet makes of `$(NAME)` and `$$` in a container's command, args and env. */
export const expandLikeKubelet = (text: string, env: Record<string, string>): string =>
  text.replace(/\$(?:\$|\(([^)]*)\))/g, (all, name?: string) =>
    name === undefined ? '$' : (env[name] ?? all),
  )

/** All texts in a value, however deep. */
export function textsIn(from: unknown): string[] {
  if (typeof from === 'string') return [from]
  return typeof from === 'object' && from !== null ? Object.values(from).flatMap(textsIn) : []
}
