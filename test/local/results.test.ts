import { expect, test } from 'vitest'
import { pipeline, run, script } from './helper.ts'

const emit = `
  - name: emit
    taskSpec:
      results: [{name: s}, {name: a, type: array}, {name: o, type: object, properties: {k: {}, l: {type: string}}}]
      steps:
        - name: s
          image: i
          script: |
            printf 'one "two"' > $(results.s.path)
            printf '["x y","z"]' > $(results.a.path)
            printf '{"k":"v 1","l":"w"}' > $(results.o.path)`

test('strings, arrays and objects reach params whole, by index and by key', async () => {
  const { report, output } = await run(
    pipeline(`
      tasks:${emit.replaceAll('\n', '\n      ')}
        - name: take
          params:
            - {name: s, value: $(tasks.emit.results.s)}
            - {name: a, value: ["first", "$(tasks.emit.results.a[*])"]}
            - {name: whole, value: "$(tasks.emit.results.a[*])"}
            - {name: o, value: "$(tasks.emit.results.o[*])"}
            - {name: one, value: "$(tasks.emit.results.a[1])/$(tasks.emit.results.o.k)"}
          taskSpec:
            params: [{name: s}, {name: a, type: array}, {name: whole, type: array}, {name: o, type: object, properties: {k: {}, l: {}}}, {name: one}]
            steps:
              - {name: s, image: i, command: [printf, '<%s>', $(params.s), "$(params.a[*])", "$(params.whole[0])", $(params.o.l), $(params.one)]}
      results:
        - {name: s, value: "s=$(tasks.emit.results.s)"}
        - {name: a, type: array, value: "$(tasks.emit.results.a[*])"}
        - {name: o, type: object, value: "$(tasks.emit.results.o[*])"}
        - {name: k, value: $(tasks.emit.results.o.k)}`),
  )
  expect(output).toEqual(['<one "two"><first><x y><z><x y><w><z/v 1>'])
  expect(report.results).toEqual({ s: 's=one "two"', a: ['x y', 'z'], o: { k: 'v 1', l: 'w' }, k: 'v 1' })
})

test('a result that is not of its type fails its task and says what it is', async () => {
  const bad = (type: string, content: string) =>
    run(
      pipeline(
        `tasks: [{name: t, ${script(`printf '${content}' > $(results.r.path)`, `results: [{name: r, ${type}}]`)}}]`,
      ),
    )
  const message = async (ran: ReturnType<typeof bad>) => (await ran).task('t').runs[0]?.message
  expect(await message(bad('type: array', 'x'))).toBe('the result r is not a JSON array of strings: x')
  expect(await message(bad('type: array', '[1]'))).toBe('the result r is not a JSON array of strings: [1]')
  expect(await message(bad('type: object, properties: {k: {}, l: {}}', '{"k":"1"}'))).toBe(
    'the result r lacks the keys l',
  )
})

test('an index that an array result does not have fails the run', async () => {
  const { task, report } = await run(
    pipeline(`
      tasks:${emit.replaceAll('\n', '\n      ')}
        - {name: t, params: [{name: x, value: "$(tasks.emit.results.a[2])"}], ${script('true', 'params: [{name: x}]')}}`),
  )
  expect(task('t')).toMatchObject({
    status: 'Invalid',
    reason: '$(tasks.emit.results.a[2]) refers to nothing here',
  })
  expect(report.status).toBe('Failed')
})

const matrixed = (
  matrix: string,
  params = 'params: [{name: x}, {name: v, default: none}, {name: z, default: none}]',
) => `
  - name: m
    matrix: {${matrix}}
    taskSpec:
      ${params}
      results: [{name: r}]
      steps: [{name: s, image: i, command: [sh, -c, 'printf "$1" > "$0"', $(results.r.path), "$(params.x)-$(params.v)-$(params.z)"]}]`

const runMatrix = (matrix: string, more = '') =>
  run(
    pipeline(`
      params: [{name: list, type: array, default: [p, q]}]
      tasks:${matrixed(matrix).replaceAll('\n', '\n      ')}
        - name: all
          params: [{name: all, value: "$(tasks.m.results.r[*])"}]
          taskSpec: {params: [{name: all, type: array}], steps: [{name: s, image: i, command: [echo, "$(params.all[*])"]}]}
      ${more}`),
  )

test('a matrix runs every combination, in the order and under the names of Tekton, and gathers their results', async () => {
  const { output, task } = await runMatrix(
    'params: [{name: x, value: ["$(params.list[*])", c]}, {name: v, value: ["1", "2"]}]',
  )
  expect(output).toEqual(['p-1-none q-1-none c-1-none p-2-none q-2-none c-2-none'])
  const names = task('m').runs.map((run) => run.name.replace(/^p-[0-9a-f]{5}/, 'p'))
  expect(names).toEqual(['p-m-0', 'p-m-1', 'p-m-2', 'p-m-3', 'p-m-4', 'p-m-5'])
})

test('results of over ten combinations come in the order of names, -10 before -2, as in Tekton', async () => {
  const values = Array.from({ length: 11 }, (_, i) => `"${i}"`).join(', ')
  const { task } = await runMatrix(`params: [{name: x, value: [${values}]}]`)
  expect(task('m').results['r']).toEqual([0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => `${n}-none-none`))
})

test('include fills up the combinations that it fits and adds those that it fits none of', async () => {
  const { output } = await runMatrix(
    'params: [{name: x, value: [a, b]}], include: [{name: i, params: [{name: x, value: a}, {name: v, value: "1"}]}, {params: [{name: x, value: c}]}, {params: [{name: z, value: zz}]}]',
  )
  expect(output).toEqual(['a-1-zz b-none-zz c-none-none'])
})

test('include alone is the list of combinations; one alone has no number', async () => {
  const { output, task } = await runMatrix('include: [{params: [{name: x, value: only}]}]')
  expect(output).toEqual(['only-none-none'])
  expect(task('m').runs[0]?.name).toMatch(/-m$/)
})

test('a matrix with an empty array is skipped', async () => {
  const { task } = await run(
    pipeline(`
      params: [{name: list, type: array, default: []}]
      tasks:${matrixed('params: [{name: x, value: "$(params.list[*])"}]').replaceAll('\n', '\n      ')}`),
  )
  expect(task('m')).toMatchObject({ status: 'Skipped', reason: 'matrix params have an empty array' })
})
