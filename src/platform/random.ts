/** Loaded at the first use: node:crypto is a tenth of what it takes to start a step, and most need neither. */
const crypto = () => process.getBuiltinModule('node:crypto')

/** 12 hexadecimal digits: unique enough for a temporary name. */
export const shortId = (): string => crypto().randomBytes(6).toString('hex')

export const uuid = (): string => crypto().randomUUID()
