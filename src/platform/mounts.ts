import { readFile } from 'node:fs/promises'
import { realpath } from './fs.ts'

export interface Mount {
  /** `ceph`, `nfs4`, `ext4`, …; `unknown` where the kernel does not tell. */
  type: string
  source: string
  options: string
}

/** The mount that `path` is on, from /proc/self/mountinfo (proc(5)). */
export async function mountOf(path: string): Promise<Mount> {
  const unknown = { type: 'unknown', source: '', options: '' }
  const text = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '')
  const real = await realpath(path)
  let best: Mount & { point: string } = { ...unknown, point: '' }
  for (const line of text.split('\n')) {
    const [left, right] = line.split(' - ')
    const [point, options] = (left ?? '').split(' ').slice(4, 6)
    const [type, source, superOptions] = (right ?? '').split(' ')
    if (!point || !type) continue
    const path = point.replace(/\\(\d{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    )
    const inside = real === path || real.startsWith(path === '/' ? '/' : `${path}/`)
    // A later line covers an earlier one at the same point.
    if (inside && path.length >= best.point.length) {
      best = { point: path, type, source: source ?? '', options: `${options},${superOptions}` }
    }
  }
  const { point: _, ...mount } = best
  return mount
}
