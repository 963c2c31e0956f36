/** zstd in the thread pool. By callbacks: node:util, for its promisify, would take a tenth of a step's start. */
import { zstdCompress, zstdDecompress, type ZstdOptions } from 'node:zlib'

export const compress = (data: Uint8Array, options: ZstdOptions): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    zstdCompress(data, options, (error, bytes) => (error ? reject(error) : resolve(bytes)))
  })

export const decompress = (data: Uint8Array, options: ZstdOptions): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    zstdDecompress(data, options, (error, bytes) => (error ? reject(error) : resolve(bytes)))
  })
