/** Builds the programs of others that the tests run, where they are missing. */
import { ensurePrograms } from '../../hack/programs/programs.ts'

export const setup = (): Promise<void> => ensurePrograms()
