import { parseJson } from '../json.ts'
import type * as z from '../zod.ts'
import { errno, WorkspaceError } from '../errors.ts'
import * as fs from '../platform/fs.ts'

/**
 * A JSON file of the volume, checked.
 * @returns undefined where there is none.
 * @throws WorkspaceError FORMAT_UNSUPPORTED where it is not of the schema.
 */
export async function readJson<T>(path: string, schema: z.ZodMiniType<T>): Promise<T | undefined> {
  let text: string
  try {
    text = (await fs.readFile(path)).toString()
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return undefined
    throw error
  }
  const result = schema.safeParse(parseJson(text))
  if (result.success) return result.data
  throw new WorkspaceError('FORMAT_UNSUPPORTED', `${path} is damaged or of another version`, {
    expected: result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; '),
    found: text.slice(0, 200),
    hint: 'look at the file; nothing was changed',
  })
}
