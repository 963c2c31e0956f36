/**
 * The settings of a program that is no step: defined once, described in docs, put into a manifest, and read from the
 * environment.
 */
import { WorkspaceError } from './errors.ts'
import type * as z from './zod.ts'

export interface Setting<T> {
  /** For people, as Markdown. */
  description: string
  /** What counts where it is empty. */
  default: string
  /** Reads and checks the text. */
  schema: z.ZodMiniType<T>
}

export type Definitions = Record<string, Setting<unknown>>
export type ValuesOf<D extends Definitions> = { [K in keyof D]: z.output<D[K]['schema']> }

export const setting = <T>(schema: z.ZodMiniType<T>, fallback: string, description: string): Setting<T> => ({
  description,
  default: fallback,
  schema,
})

/** Which program it is, and where its settings are described. */
export interface Program {
  title: string
  docs: string
  /** Of its environment variables, such as `AGENT_`. */
  prefix: string
}

/**
 * Reads settings from the environment.
 * @param more what else is wrong with how the program was called
 * @throws WorkspaceError USAGE that names everything that is wrong
 */
export function readSettings<D extends Definitions>(
  definitions: D,
  { title, docs, prefix }: Program,
  env: Record<string, string | undefined>,
  more: readonly string[] = [],
): ValuesOf<D> {
  const values: Record<string, unknown> = {}
  const problems: string[] = []
  for (const [name, { schema, default: fallback }] of Object.entries(definitions)) {
    const given = env[prefix + name] || fallback
    const result = schema.safeParse(given)
    if (result.success) values[name] = result.data
    else
      for (const { message } of result.error.issues)
        problems.push(`${prefix}${name}: ${message}, found ${JSON.stringify(given)}`)
  }
  problems.push(...more)
  if (problems.length === 0) return values as ValuesOf<D>
  throw new WorkspaceError('USAGE', `${title} cannot start: ${problems.join('; ')}`, {
    expected: 'settings as they are described',
    found: `${problems.length} that are not`,
    hint: `see ${docs}`,
  })
}
