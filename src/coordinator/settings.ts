import { readSettings as read } from '../settings.ts'
import { PREFIX, SETTINGS, type Settings } from './contract.ts'

const PROGRAM = { title: 'the coordinator', docs: 'docs/coordinator.md', prefix: PREFIX }

/** Reads the settings. @throws WorkspaceError USAGE that names everything that is wrong with them */
export const readSettings = (env: Record<string, string | undefined>): Settings =>
  read(SETTINGS, PROGRAM, env)
