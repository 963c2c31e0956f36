/** What stands in pointers and files: a count, and the epoch of the hold that wrote it. */

export const textOf = (count: number, epoch: number): string => `${count}@${epoch}`

/** 0 where nothing was written yet, or what nobody wrote: the checker compares texts whole. */
export const countIn = (text: string): number => parse(text)[0]
export const epochIn = (text: string): number => parse(text)[1]

function parse(text: string): [count: number, epoch: number] {
  const [, count, epoch] = /^(\d+)@(\d+)$/.exec(text) ?? []
  return [Number(count ?? 0), Number(epoch ?? 0)]
}
