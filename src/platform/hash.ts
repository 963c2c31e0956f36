/**
 * sha256. Not by an import: that makes everything that node:crypto exports ready, which takes a tenth of the time in
 * which a step starts.
 */
import type { Hash } from 'node:crypto'

const crypto = () => process.getBuiltinModule('node:crypto')

/** The sha256 of `data`, as 64 hexadecimal digits. */
export const sha256 = (data: string | Uint8Array): string => crypto().hash('sha256', data)

/** For data that comes in pieces. */
export const startSha256 = (): Hash => crypto().createHash('sha256')
