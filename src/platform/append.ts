import { constants } from 'node:fs'
import { open, type FileHandle } from './fs.ts'

/** Opens a file that is there, so that every write goes to its end. */
export const openToAppend = (path: string): Promise<FileHandle> =>
  open(path, constants.O_RDWR | constants.O_APPEND)
