/** Everything that is pinned. The Go modules' own pins are in the go.mod files beside and must agree. */
export const KUBERNETES = '1.34.4'
export const ETCD = '3.6.16'
export const TEKTON = '1.15.0'
export const TKN = '0.46.0'

/** The oldest Tekton that the tests are written for. */
export const TEKTON_LEAST = '1.15'

/** The oldest Go that builds every module here. */
export const GO_LEAST = '1.26.5'

/** Whether the dotted version `found` is `least` or newer. Only numbers count; missing ones are 0. */
export function isAtLeast(found: string, least: string): boolean {
  const [a, b] = [numbersOf(found), numbersOf(least)]
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference > 0
  }
  return true
}

function numbersOf(version: string): number[] {
  return (version.match(/\d+/g) ?? []).map(Number)
}
