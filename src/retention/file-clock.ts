import * as fs from '../platform/fs.ts'
import { wallNow } from '../platform/clock.ts'
import type { Layout } from '../volume/layout.ts'
import { temporaryBeside } from '../volume/publish.ts'

/**
 * Now, in ms since the epoch, by the clock that stamps the files of this volume: the server's on NFS, so that the
 * clocks of the nodes do not matter; the node's own on CephFS. Where no file can be made, as on a full disk, the
 * node's clock has to do.
 */
export async function fileNow({ marker }: Layout): Promise<number> {
  const path = temporaryBeside(marker)
  try {
    const handle = await fs.create(path)
    try {
      await fs.write(handle, Buffer.from('now'), path)
      await fs.sync(handle, path)
      return (await handle.stat()).mtimeMs
    } finally {
      await handle.close()
    }
  } catch {
    return wallNow()
  } finally {
    await fs.unlink(path).catch(() => {})
  }
}
