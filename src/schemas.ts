/** The kinds of text that parameters are made of. Each says what it expects in words a user can act on. */
import * as z from './zod.ts'

const UNITS: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 }

/** What `read` makes of a text; undefined where it makes nothing of it, and then the error says what is expected. */
export const understood = <T>(read: (text: string) => T | undefined, expected: string) =>
  z.pipe(
    z.string(),
    z.transform((text: string, context): T => {
      const value = read(text)
      if (value !== undefined) return value
      context.issues.push({ code: 'custom', message: expected, input: text })
      return z.NEVER
    }),
  )

/** `90s`, `10m`, `1h30m`, `7d` → milliseconds. Zero and more than a year are refused. */
export const duration = understood((text) => {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  const whole = parts.map((part) => part[0]).join('') === text
  const ms = parts.reduce((sum, part) => sum + Number(part[1]) * (UNITS[part[2] ?? ''] ?? Number.NaN), 0)
  return whole && ms > 0 && ms <= 366 * 8.64e7 ? ms : undefined
}, 'expected a duration over 0 and up to 366d, such as 90s, 10m, 1h30m or 7d')

/** As `schema`, or the empty string for none. A union would say no more than "Invalid input" of anything else. */
export const orNone = <T>(schema: z.ZodMiniType<T>): z.ZodMiniType<T | undefined> =>
  z.pipe(
    z.string(),
    z.transform((text: string, context): T | undefined => {
      if (text === '') return undefined
      const result = schema.safeParse(text)
      if (result.success) return result.data
      for (const { message } of result.error.issues)
        context.issues.push({ code: 'custom', message, input: text })
      return z.NEVER
    }),
  )

export const wholeNumber = (what: string, least: number, most: number) =>
  understood((text) => {
    const value = Number(text)
    return /^-?\d+$/.test(text) && value >= least && value <= most ? value : undefined
  }, `expected ${what} from ${least} to ${most}`)

export const days = wholeNumber('a whole number of days', 1, 366)
export const count = wholeNumber('a whole number', 0, 255)

/** How many may hold a lock at once: only for the mode that counts. */
export const limit = orNone(wholeNumber('a whole number', 1, 1000))

const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti']

/** `512Mi`, `10Gi`, a plain number: bytes, as Kubernetes writes quantities of them. */
export const bytes = understood((text) => {
  const [, number, unit = ''] = /^(\d+)(Ki|Mi|Gi|Ti)?$/.exec(text) ?? []
  const value = Number(number) * 1024 ** BINARY.indexOf(unit)
  return Number.isSafeInteger(value) ? value : undefined
}, 'expected bytes, such as 512Mi or 10Gi')

/** As `duration`, or the empty string for none. */
export const optionalDuration = orNone(duration)

/** `true` or `false`. */
export const flag = understood(
  (text) => (text === 'true' || text === 'false' ? text === 'true' : undefined),
  'expected true or false',
)

/** A name that becomes a folder on the volume; layout.ts checks it where it does. */
export const name = z
  .string()
  .check(
    z.regex(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
      'expected 1 to 128 letters, digits, ".", "_" and "-", starting with a letter or digit',
    ),
  )

const FENCE = /^([A-Za-z0-9][A-Za-z0-9._-]{0,127})@([1-9]\d{0,14})$/

/** `<lock>@<epoch>`, a hold that fences off what its predecessors still publish; or the empty string for none. */
export const fence = orNone(
  understood((text) => {
    const [, lock, epoch] = FENCE.exec(text) ?? []
    return lock && epoch ? { lock, epoch: Number(epoch) } : undefined
  }, 'expected <lock>@<epoch>, with the epoch that lock-acquire gave'),
)

/** As `name`, or the empty string for none. */
export const optionalName = orNone(name)

export const text = z.string()
export const requiredText = z.string().check(z.minLength(1, 'expected some text, found none'))

const textsBetween = (separator: RegExp) =>
  z.pipe(
    z.string(),
    z.transform((text: string) =>
      text
        .split(separator)
        .map((part) => part.trim())
        .filter(Boolean),
    ),
  )

/** Globs, one per line or separated by commas; the commas of `{a,b}` belong to the glob. */
export const globs = textsBetween(/[\n,](?![^{\n]*\})/)

/** Texts, one per line. */
export const lines = textsBetween(/\n/)

export const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, `expected ${values.join(', ')}`)

/** Names separated by commas or new lines; the empty string for none. */
export const names = z.pipe(globs, z.array(name))
