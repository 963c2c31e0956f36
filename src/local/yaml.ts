/** The only place of the runner that reads YAML. */
import { boolYaml11Tag, CORE_SCHEMA, boolCoreTag, loadAll, mergeTag, Schema, YAMLException } from 'js-yaml'
import { errno, WorkspaceError } from '../errors.ts'
import { readFile } from '../platform/fs.ts'

/** Kubernetes reads `yes` and `on` as booleans and follows merge keys; what YAML 1.2 says about them is not asked. */
const KUBERNETES = new Schema([
  ...CORE_SCHEMA.tags.filter((tag) => tag !== boolCoreTag),
  boolYaml11Tag,
  mergeTag,
])

/** The documents of a file, without empty ones. @throws WorkspaceError USAGE where it cannot be read or parsed. */
export async function loadYaml(file: string): Promise<unknown[]> {
  try {
    const text = (await readFile(file)).toString()
    return loadAll(text, { filename: file, schema: KUBERNETES }).filter((document) => document != null)
  } catch (error) {
    if (error instanceof YAMLException) throw new WorkspaceError('USAGE', error.message, { cause: error })
    if (errno(error))
      throw new WorkspaceError('USAGE', `cannot read ${file}: ${errno(error)}`, { cause: error })
    throw error
  }
}
