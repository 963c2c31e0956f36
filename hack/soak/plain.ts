/**
 * A file that is read and written in place under a lock, as users do: nothing fences it. It is opened each time: what
 * is kept open is stale on some file systems.
 */
import { constants } from 'node:fs'
import * as fs from '../../src/platform/fs.ts'

/** Always as long, so that nothing of an older text is left behind it. */
const WIDTH = 40

/** Empty where nothing was ever saved. */
export async function load(path: string): Promise<string> {
  const buffer = Buffer.alloc(WIDTH)
  const { bytesRead } = await withFile(path, (handle) => handle.read(buffer, 0, WIDTH, 0))
  return buffer.toString('utf8', 0, bytesRead).trim()
}

export async function save(path: string, text: string): Promise<void> {
  await withFile(path, async (handle) => {
    await handle.write(Buffer.from(text.padEnd(WIDTH)), 0, WIDTH, 0)
    await handle.sync()
  })
}

async function withFile<T>(path: string, use: (handle: fs.FileHandle) => Promise<T>): Promise<T> {
  // O_CREAT also opens what an NFS client believes not to be there.
  const handle = await fs.open(path, constants.O_RDWR | constants.O_CREAT)
  try {
    return await use(handle)
  } finally {
    await handle.close()
  }
}
