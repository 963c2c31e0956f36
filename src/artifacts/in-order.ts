/**
 * Does `work` on items, at most `ahead` of them at once, and yields the results in the items' order. Neither
 * items nor results pile up: the next item is taken only when a result is.
 */
export async function* inOrder<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  ahead: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, void> {
  if (ahead === 1) {
    for await (const item of items) yield await work(item)
    return
  }
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
