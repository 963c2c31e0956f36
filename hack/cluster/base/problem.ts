export interface ProblemDetails {
  expected?: string
  found?: string
  /** What to do about it, as a sentence. */
  fix?: string
  /** A file with more, whose last lines are worth showing. */
  log?: string
  cause?: unknown
}

/** A failure that a person can act on: what happened, what was expected and found, what to do. */
export class Problem extends Error {
  readonly details: ProblemDetails

  constructor(message: string, details: ProblemDetails = {}) {
    super(message, { cause: details.cause })
    this.name = 'Problem'
    this.details = details
  }

  /** The message as it is printed, one line per part. */
  get text(): string {
    const { expected, found, fix, log } = this.details
    const parts = [
      this.message,
      expected && `  expected: ${expected}`,
      found && `  found:    ${found}`,
      fix && `  do:       ${fix}`,
      log && `  log:      ${log}`,
    ]
    return parts.filter(Boolean).join('\n')
  }
}
