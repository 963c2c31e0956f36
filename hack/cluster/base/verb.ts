import { Problem } from './problem.ts'

/** What each verb does with its arguments. It may return an exit code; 0 otherwise. */
export type Verbs = Readonly<Record<string, (args: string[]) => Promise<number | void>>>

/** Runs the verb that the arguments name and prints what went wrong. Returns the exit code. */
export async function runVerb(
  program: string,
  usage: string,
  verbs: Verbs,
  [verb = '', ...args]: string[],
): Promise<number> {
  const run = verbs[verb]
  if (!run) {
    console.error(usage)
    return 64
  }
  try {
    return (await run(args)) ?? 0
  } catch (error) {
    if (isUsageError(error)) {
      console.error(`${program}: ${error.message}\n${usage}`)
      return 64
    }
    const stack = error instanceof Error ? error.stack : undefined
    console.error(error instanceof Problem ? `${program}: ${error.text}` : (stack ?? error))
    return 1
  }
}

/** What parseArgs throws for an option that it doesn't know. */
function isUsageError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
}
