const HEARTBEAT_MS = 30_000

/** One line on stderr: stdout is for what a script would read. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

/** `2m30s`, `12s`, `0.4s`. */
export function elapsed(sinceMs: number): string {
  const seconds = (Date.now() - sinceMs) / 1000
  if (seconds < 10) return `${seconds.toFixed(1)}s`
  if (seconds < 60) return `${Math.floor(seconds)}s`
  return `${Math.floor(seconds / 60)}m${String(Math.floor(seconds % 60)).padStart(2, '0')}s`
}

/** Runs `work`, says what it does and how long it took, and gives a sign of life while it takes long. */
export async function step<T>(what: string, doing: string, work: () => Promise<T>): Promise<T> {
  const start = Date.now()
  const heartbeat = setInterval(() => say(`  ${what}: still ${doing}, ${elapsed(start)}`), HEARTBEAT_MS)
  try {
    const result = await work()
    say(`  ${what}: ${elapsed(start)}`)
    return result
  } catch (error) {
    say(`  ${what}: failed after ${elapsed(start)}`)
    throw error
  } finally {
    clearInterval(heartbeat)
  }
}
