import { mkdtempSync, rmSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** A temporary folder that every user may write to, gone when the test is over. */
export async function temporaryFolder(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'shared-workspace-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  await chmod(folder, 0o2777)
  return folder
}
