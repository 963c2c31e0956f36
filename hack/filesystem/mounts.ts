import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { Problem } from '../cluster/base/problem.ts'
import { SYSTEM_PATH } from '../cluster/binaries/packages.ts'
import { mountsBelow } from '../cluster/native/mounts.ts'

export async function isMounted(folder: string): Promise<boolean> {
  return (await mountsBelow(folder)).length > 0
}

/** Unmounts, lazily since a server may be gone. Never returns with the folder mounted: its files would go with it. */
export async function unmount(folder: string): Promise<void> {
  for (const deadline = Date.now() + 10_000; await isMounted(folder); await sleep(100)) {
    await execa('umount', ['--lazy', folder], { env: { PATH: SYSTEM_PATH }, reject: false })
    if (Date.now() > deadline)
      throw new Problem(`${folder} can't be unmounted`, { fix: 'end what uses it, then run down again' })
  }
}
