import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { pipeline, problemsOf, script, stepAction, task, temporary } from './helper.ts'

const STEP = 'steps: [{name: s, image: i, script: "true"}]'

/** Without the file's name. */
const of = async (yaml: string, options = {}) =>
  (await problemsOf(yaml, options))
    .map((problem) => problem.replace(/^\/\S+\.yaml: /, ''))
    .filter((problem) => !problem.startsWith('holds no'))

describe('a field that is not supported is named', () => {
  const cases: [string, string, string][] = [
    [
      'a port of a sidecar',
      `${STEP}\nsidecars: [{name: x, script: x, ports: [{containerPort: 80}]}]`,
      'spec.sidecars[0].ports',
    ],
    [
      'a secret as a volume',
      `${STEP}\nvolumes: [{name: v, secret: {secretName: x}}]`,
      'spec.volumes[0].secret',
    ],
    [
      'a resource as env',
      'steps: [{name: s, image: i, script: x, env: [{name: E, valueFrom: {resourceFieldRef: {}}}]}]',
      'spec.steps[0].env[0].valueFrom.resourceFieldRef',
    ],
    ['when of a step', 'steps: [{name: s, image: i, script: x, when: []}]', 'spec.steps[0].when'],
    ['a misspelt field', 'steps: [{name: s, image: i, scripts: x}]', 'spec.steps[0].scripts'],
    [
      'stdoutConfig',
      'steps: [{name: s, image: i, script: x, stdoutConfig: {path: y}}]',
      'spec.steps[0].stdoutConfig',
    ],
  ]
  test.each(cases)('%s', async (_, spec, field) => {
    expect(await of(task(spec))).toContain(`${field}: not supported by the local runner`)
  })

  test('in pipelines', async () => {
    expect(
      await of(pipeline(`tasks: [{name: a, pipelineSpec: {}}, {name: b, when: [{cel: x}], ${script('x')}}]`)),
    ).toEqual(
      expect.arrayContaining([
        'spec.tasks[0].pipelineSpec: not supported by the local runner',
        'spec.tasks[1].when[0].cel: not supported by the local runner',
      ]),
    )
  })

  test('as are resolvers and downward API fields', async () => {
    expect(await of(pipeline('tasks: [{name: a, taskRef: {resolver: bundles, params: []}}]'))).toEqual([
      'spec.tasks[0].taskRef.resolver: only the resolver "cluster" is supported by the local runner',
    ])
    const env = 'env: [{name: E, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]'
    expect(await of(task(`steps: [{name: s, image: i, script: x, ${env}}]`))).toEqual([
      'Task t: spec.steps[0].env[0].valueFrom.fieldRef: status.podIP is not supported by the local runner',
    ])
  })
})

test('everything that is wrong is said at once, and nothing runs', async () => {
  const problems = await of(
    pipeline(`
      params: [{name: needed}, {name: list, type: array, default: []}]
      workspaces: [{name: shared}]
      tasks:
        - {name: a, runAfter: [nowhere], taskRef: {name: unknown}}
        - {name: b, params: [{name: extra, value: x}, {name: l, value: "$(params.list[*])"}], ${script('true', 'params: [{name: l}, {name: m}], workspaces: [{name: w}]')}}
        - {name: c, params: [{name: p, value: $(params.typo)}, {name: q, value: $(tasks.b.results.none)}], ${script('true', 'params: [{name: p}, {name: q}]')}}
        - {name: d, ${script('echo $(params.mine) $(workspaces.mine.path) $(date)')}}
      finally:
        - {name: f, runAfter: [a], ${script('true')}}`),
    { params: { other: '1' }, workspaces: { wrong: '/tmp' } },
  )
  expect(problems).toEqual(
    expect.arrayContaining([
      'Pipeline p: spec.params: no param other is declared; there is needed, list',
      'Pipeline p: spec.params: the param needed is missing',
      'Pipeline p: spec.workspaces: the workspace shared is not bound; add --workspace shared=<folder>',
      '--workspace wrong: no such workspace is declared; there is shared',
      expect.stringMatching(
        /^Pipeline p: spec\.tasks\[0\]\.taskRef: no Task "unknown" in this file or in \//,
      ),
      'Pipeline p: spec.tasks[1].params: no param extra is declared; there is l, m',
      'Pipeline p: spec.tasks[1].params: the param m is missing',
      'Pipeline p: spec.tasks[1].params: the param l takes a string, found an array',
      'Pipeline p: spec.tasks[1].workspaces: the workspace w of the Task b is missing',
      'Pipeline p: spec.tasks[2].params[0]: $(params.typo) refers to nothing here',
      'Pipeline p: spec.tasks[2].params[1]: $(tasks.b.results.none) refers to nothing here',
      'Pipeline p: spec.tasks[3].taskSpec.steps[0].script: $(params.mine) refers to nothing here',
      'Pipeline p: spec.finally[0].runAfter: finally tasks have no order',
    ]),
  )
})

test.each([
  ['runAfter', `{name: a, runAfter: [b], ${script('true')}}`],
  [
    'results',
    `{name: a, params: [{name: x, value: $(tasks.b.results.r)}], ${script('true', 'params: [{name: x}]')}}`,
  ],
])('tasks that wait for each other by %s are refused', async (_, a) => {
  const b = `{name: b, runAfter: [a], ${script('true', 'results: [{name: r}]')}}`
  const free = `{name: free, ${script('true')}}, {name: after, runAfter: [a], ${script('true')}}`
  expect(await of(pipeline(`tasks: [${a}, ${b}, ${free}]`))).toEqual([
    'the tasks a, b, after wait for each other',
  ])
})

test('what only Tekton itself would refuse is refused too', async () => {
  const action = stepAction('params: [{name: p}]\nimage: i\nscript: echo')
  expect(await of([task('steps: [{name: s, ref: {name: a}, script: x}]'), action].join('---\n'))).toEqual([
    'Task t: spec.steps[0].script: not with a ref',
    'Task t: spec.steps[0].params: the param p is missing',
  ])
  expect(await of(task('steps: [{name: s, image: i}]'))).toEqual([
    'Task t: spec.steps[0].command: a step needs a command or a script here: there is no image to take its entrypoint from',
  ])
  expect(await of(task('steps: [{name: s, image: i, script: "echo $(steps.t.results.r)"}]'))).toEqual([
    'Task t: spec.steps[0].script: $(steps.t.results.r) refers to nothing here',
  ])
  expect(
    await of(task('steps: [{name: s, image: i, script: x, volumeMounts: [{name: v, mountPath: /v}]}]')),
  ).toEqual(['Task t: spec.steps[0].volumeMounts[0]: the task has no volume v'])
  expect(
    await of(
      task(
        'params: [{name: l, type: array}]\nsteps: [{name: s, image: i, command: [echo, "x$(params.l[*])"]}]',
      ),
      { params: { l: '[]' } },
    ),
  ).toEqual([
    'Task t: spec.steps[0].command[1]: $(params.l[*]) is not a text: an array can only stand alone, as an element of a list',
  ])
  expect(
    await of(task('steps: [{name: s, image: i, command: [node, /opt/shared-workspace/steps/no-such.mjs]}]')),
  ).toEqual([expect.stringMatching(/^Task t: spec\.steps\[0\]\.command: no step program no-such in /)])
})

test('YAML is read as Kubernetes reads it: y is a boolean, no name', async () => {
  expect(await of(pipeline(`tasks: [{name: y, ${script('true')}}]`))).toEqual([
    'spec.tasks[0].name: Invalid input: expected string, received boolean',
  ])
})

test('a file that is not there, or not YAML, or of other kinds is bad input', async () => {
  const missing = join(await temporary(), 'none.yaml')
  await expect(problemsOf('', { pipeline: missing })).resolves.toEqual([])
  await expect(problemsOf('a: [')).resolves.not.toEqual([])
  expect(await of('kind: ConfigMap')).toEqual([
    expect.stringMatching(
      /expected a Pipeline, Task, StepAction, PipelineRun, TaskRun, found the kind "ConfigMap"$/,
    ),
  ])
})
