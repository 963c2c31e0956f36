import { at, naming, type FileHandle } from './fs.ts'

/** Writes all of `data` from `position` on, whatever was written there before. */
export async function writeAt(
  handle: FileHandle,
  path: string,
  position: number,
  data: Uint8Array,
): Promise<void> {
  await at('write', path)
  let written = 0
  while (written < data.length) {
    const { bytesWritten } = await naming(
      path,
      handle.write(data, written, data.length - written, position + written),
    )
    written += bytesWritten
  }
}
