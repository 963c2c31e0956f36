import { writeFile } from 'node:fs/promises'
import { readIfThere } from '../base/files.ts'

/** What the kubelet sets for the whole machine when it starts. */
const CHANGED_BY_KUBELET = [
  'kernel/keys/root_maxbytes',
  'kernel/keys/root_maxkeys',
  'kernel/panic',
  'kernel/panic_on_oops',
  'vm/overcommit_memory',
  'vm/panic_on_oom',
]

/** The values of now, to be put back later. */
export async function readSysctls(): Promise<Record<string, string>> {
  const values: Record<string, string> = {}
  for (const name of CHANGED_BY_KUBELET) {
    const value = await readIfThere(`/proc/sys/${name}`)
    if (value !== undefined) values[name] = value.trim()
  }
  return values
}

export async function restoreSysctls(values: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, value] of Object.entries(values)) await writeFile(`/proc/sys/${name}`, value)
}
