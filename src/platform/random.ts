import { randomBytes, randomUUID } from 'node:crypto'

/** 12 hexadecimal digits: unique enough for a temporary name. */
export const shortId = (): string => randomBytes(6).toString('hex')

export const uuid = (): string => randomUUID()
