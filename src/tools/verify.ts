import { isDeepStrictEqual } from 'node:util'
import { WorkspaceError } from '../errors.ts'
import type { Tool } from './find.ts'
import type { ToolFile } from './format.ts'
import { titleOf } from './layout.ts'
import { listTree } from './list-tree.ts'

/** As many differences are told. */
const TOLD = 3

/**
 * Reads every file of a tool again and compares it with what was installed: content, permissions, link targets, and
 * nothing missing or added.
 * @throws WorkspaceError DIGEST_MISMATCH
 */
export async function verifyTool(tool: Tool): Promise<void> {
  compare(tool, tool.marker.files, await listTree(tool.paths.folder))
}

/** As verifyTool, but goes by the sizes of files: for a tool that somebody else has just read. */
export async function verifySizes(tool: Tool): Promise<void> {
  const files = tool.marker.files.map((file) => (file.type === 'file' ? { ...file, sha256: '' } : file))
  compare(tool, files, await listTree(tool.paths.folder, false))
}

function compare(tool: Tool, expected: readonly ToolFile[], there: readonly ToolFile[]): void {
  const found = new Map(there.map((file) => [file.path, file]))
  const differences = expected.flatMap((file) => differenceOf(file, found.get(file.path)))
  for (const { path } of expected) found.delete(path)
  differences.push(...[...found.keys()].map((path) => `${path} was added`))
  if (differences.length === 0) return
  const more = differences.length - TOLD
  throw new WorkspaceError(
    'DIGEST_MISMATCH',
    `${titleOf(tool)} at ${tool.paths.folder} is not what was installed`,
    {
      expected: `the ${expected.length} files and folders of ${tool.marker.source}, as tool.json lists them`,
      found: differences.slice(0, TOLD).join('; ') + (more > 0 ? `; and ${more} more` : ''),
      hint: 'find out who changed it, and mount tools read-only where they are used; tool-install moves it to the trash and installs it again',
    },
  )
}

function differenceOf(expected: ToolFile, found: ToolFile | undefined): string[] {
  const { path } = expected
  if (!found) return [`${path} is missing`]
  if (isDeepStrictEqual(found, expected)) return []
  if (found.type !== expected.type) return [`${path} is a ${found.type}, not a ${expected.type}`]
  const [key, value] = Object.entries(found).find(
    ([key, value]) => expected[key as keyof ToolFile] !== value,
  )!
  return [
    `${path} has the ${key} ${display(key, value)}, not ${display(key, expected[key as keyof ToolFile])}`,
  ]
}

const display = (key: string, value: unknown): string =>
  key === 'mode' ? `0${Number(value).toString(8)}` : JSON.stringify(value)
