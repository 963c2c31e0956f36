/** Fans a matrix out into its combinations, in Tekton's order: the first param varies fastest. */
import type { Value } from './variables.ts'

type Combination = Record<string, string>

export interface Matrix {
  params: { name: string; value: Value }[]
  include: Combination[]
}

/** Each combination of the params, filled up by the `include`s that fit, then the `include`s that fit none. */
export function fanOut({ params, include }: Matrix): Combination[] {
  if (params.length === 0) return include
  let combinations: Combination[] = [{}]
  for (const { name, value } of params) {
    const elements = Array.isArray(value) ? value : []
    combinations = elements.flatMap((element) =>
      combinations.map((others) => ({ ...others, [name]: element })),
    )
  }
  for (const combination of combinations) {
    for (const extra of include) if (fits(combination, extra)) Object.assign(combination, extra)
  }
  for (const extra of include) {
    if (Object.keys(extra).length > 0 && !combinations.some((have) => shares(have, extra)))
      combinations.push({ ...extra })
  }
  return combinations
}

const fits = (combination: Combination, extra: Combination): boolean =>
  Object.entries(extra).every(
    ([name, value]) => combination[name] === undefined || combination[name] === value,
  )

const shares = (combination: Combination, extra: Combination): boolean =>
  Object.entries(extra).some(([name, value]) => combination[name] === value)
