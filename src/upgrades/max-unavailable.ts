import { understood } from '../schemas.ts'

/** How many consumers may be away at a time: `2`, or `20%` of the fleet. */
export type MaxUnavailable = { count: number } | { percent: number }

export const maxUnavailable = understood((text): MaxUnavailable | undefined => {
  const [, digits, percent] = /^([1-9]\d{0,3})(%?)$/.exec(text) ?? []
  const value = Number(digits)
  if (!digits || (percent && value > 100)) return undefined
  return percent ? { percent: value } : { count: value }
}, 'expected a number of consumers from 1 on, or a part of them from 1% to 100%')

/** Rounded down, but never to nobody. */
export const limitFor = (max: MaxUnavailable, consumers: number): number =>
  'count' in max ? max.count : Math.max(1, Math.floor((consumers * max.percent) / 100))
