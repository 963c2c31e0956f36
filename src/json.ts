/** The value that a text is in JSON, for a schema to check; undefined, which no schema here takes, where it is none. */
export function parseJson(text: string | Buffer): unknown {
  try {
    return JSON.parse(text.toString())
  } catch {
    return undefined
  }
}
