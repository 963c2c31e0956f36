/** The terminal that this process writes to, where there is one. */

export const isTerminal = (): boolean => process.stdout.isTTY
export const terminalColumns = (): number => process.stdout.columns || 80
export const writeRaw = (text: string): void => void process.stdout.write(text)
