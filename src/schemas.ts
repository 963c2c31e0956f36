/** The kinds of text that parameters are made of. Each says what it expects in words a user can act on. */
import * as z from 'zod'

const UNITS: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 }

/** `90s`, `10m`, `1h30m`, `7d` → milliseconds. Zero and more than a year are refused. */
export const duration = z.string().transform((text, context) => {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)]
  const whole = parts.map((part) => part[0]).join('') === text
  const ms = parts.reduce((sum, part) => sum + Number(part[1]) * (UNITS[part[2] ?? ''] ?? Number.NaN), 0)
  if (whole && ms > 0 && ms <= 366 * 8.64e7) return ms
  context.addIssue({
    code: 'custom',
    message: 'expected a duration over 0 and up to 366d, such as 90s, 10m, 1h30m or 7d',
  })
  return z.NEVER
})

/** As `schema`, or the empty string for none. A union would say no more than "Invalid input" of anything else. */
export const orNone = <T>(schema: z.ZodType<T>): z.ZodType<T | undefined> =>
  z.string().transform((text, context) => {
    if (text === '') return undefined
    const result = schema.safeParse(text)
    if (result.success) return result.data
    for (const { message } of result.error.issues) context.addIssue({ code: 'custom', message })
    return z.NEVER
  })

const wholeNumber = (what: string, least: number, most: number) =>
  z.string().transform((text, context) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= least && value <= most) return value
    context.addIssue({ code: 'custom', message: `expected ${what} from ${least} to ${most}` })
    return z.NEVER
  })

export const days = wholeNumber('a whole number of days', 1, 366)
export const count = wholeNumber('a whole number', 0, 255)

const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti']

/** `512Mi`, `10Gi`, a plain number: bytes, as Kubernetes writes quantities of them. */
export const bytes = z.string().transform((text, context) => {
  const [, number, unit = ''] = /^(\d+)(Ki|Mi|Gi|Ti)?$/.exec(text) ?? []
  const value = Number(number) * 1024 ** BINARY.indexOf(unit)
  if (Number.isSafeInteger(value)) return value
  context.addIssue({ code: 'custom', message: 'expected bytes, such as 512Mi or 10Gi' })
  return z.NEVER
})

/** As `duration`, or the empty string for none. */
export const optionalDuration = orNone(duration)

/** `true` or `false`. */
export const flag = z.enum(['true', 'false'], 'expected true or false').transform((text) => text === 'true')

/** A name that becomes a folder on the volume; layout.ts checks it where it does. */
export const name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
    'expected 1 to 128 letters, digits, ".", "_" and "-", starting with a letter or digit',
  )

/** As `name`, or the empty string for none. */
export const optionalName = orNone(name)

export const text = z.string()
export const requiredText = z.string().min(1, 'expected some text, found none')

/** Globs, one per line or separated by commas; the commas of `{a,b}` belong to the glob. */
export const globs = z.string().transform((lines) =>
  lines
    .split(/[\n,](?![^{\n]*\})/)
    .map((line) => line.trim())
    .filter(Boolean),
)

/** Texts, one per line. */
export const lines = z.string().transform((text) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean),
)

export const oneOf = <const T extends readonly [string, ...string[]]>(values: T) =>
  z.enum(values, `expected ${values.join(', ')}`)

/** Names separated by commas or new lines; the empty string for none. */
export const names = globs.pipe(z.array(name))
