/** Paths inside an artifact: relative, with `/`, in the order of their UTF-8 bytes, and never leading out. */
import { WorkspaceError } from '../errors.ts'

const MAX_NAME_BYTES = 255
/** After as many symlinks the kernel gives up (ELOOP). */
const MAX_LINKS = 40

/** Checks a path of an artifact. @throws WorkspaceError UNSAFE_PATH */
export function checkPath(path: string): string {
  const safe = path.isWellFormed() && !path.includes('\0') && path.split('/').every(isName)
  if (safe) return path
  throw new WorkspaceError('UNSAFE_PATH', `the artifact holds the path ${JSON.stringify(path)}`, {
    expected: `relative paths without "." and "..", of names of 1 to ${MAX_NAME_BYTES} bytes`,
    found: JSON.stringify(path),
    hint: 'somebody made this artifact by hand: do not trust it',
  })
}

function isName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && Buffer.byteLength(name) <= MAX_NAME_BYTES
}

/** The folder of a path; '' for the top. */
export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')))

const SURROGATE = /[\ud800-\udfff]/

/** Orders paths by their UTF-8 bytes, as every other language would; JavaScript orders by UTF-16 units. */
export function comparePaths(a: string, b: string): number {
  // Only surrogates make a difference, and to look for them is faster than to compare by hand.
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a < b ? -1 : Number(a !== b)
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return byteRank(x) - byteRank(y)
  }
  return a.length - b.length
}

/** Surrogates stand for characters beyond U+FFFF, so they come after U+E000 to U+FFFF. */
function byteRank(unit: number): number {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}

/**
 * Checks that no symlink of a tree leads out of it, neither by itself nor through another one.
 * @param links target by path
 * @throws WorkspaceError UNSAFE_PATH
 */
export function checkLinks(links: ReadonlyMap<string, string>): void {
  for (const [path, target] of links) {
    if (staysInside(path, target, links)) continue
    throw new WorkspaceError('UNSAFE_PATH', `the symlink ${JSON.stringify(path)} leads out of its tree`, {
      expected: 'a relative target inside the folder that is stored',
      found: JSON.stringify(target),
      hint: 'replace it by what it points to (cp -L), or by a relative symlink inside the folder',
    })
  }
}

/** Follows a symlink as the kernel does, name by name. */
function staysInside(path: string, target: string, links: ReadonlyMap<string, string>): boolean {
  const at = path.split('/').slice(0, -1)
  const ahead = target.split('/')
  if (target.startsWith('/')) return false
  let followed = 0
  for (let name = ahead.shift(); name !== undefined; name = ahead.shift()) {
    if (name === '' || name === '.') continue
    if (name === '..') {
      if (at.pop() === undefined) return false
      continue
    }
    const next = links.get([...at, name].join('/'))
    if (next === undefined) at.push(name)
    else if (next.startsWith('/')) return false
    else if (++followed > MAX_LINKS) return true
    else ahead.unshift(...next.split('/'))
  }
  return true
}
