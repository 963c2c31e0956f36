import type { Soon } from '../platform/soon.ts'

/**
 * Does `work` on items, at most `ahead` of them at once, and yields the results in the items' order. Neither
 * items nor results pile up: the next item is taken only when a result is.
 */
export async function* inOrder<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  ahead: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, void> {
  const running: Promise<R>[] = []
  try {
    for await (const item of items) {
      const result = work(item)
      // A failure is met where the result is awaited.
      result.catch(() => {})
      running.push(result)
      if (running.length < ahead) continue
      const first = running.shift()
      if (first) yield await first
    }
    for (let first = running.shift(); first; first = running.shift()) yield await first
  } finally {
    await Promise.allSettled(running)
  }
}

/** The same, where what does not have to be awaited is not; `use` takes the results. */
export async function forEachInOrder<T, R>(
  items: Iterable<T>,
  ahead: number,
  work: (item: T) => Soon<R>,
  use: (result: R) => void,
): Promise<void> {
  if (ahead > 1) {
    for await (const result of inOrder(items, ahead, async (item) => work(item))) use(result)
    return
  }
  for (const item of items) {
    const result = work(item)
    use(result instanceof Promise ? await result : result)
  }
}
