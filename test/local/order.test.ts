import { describe, expect, test } from 'vitest'
import { pipeline, read, run, script, temporary } from './helper.ts'

describe('order', () => {
  test('a task runs after those it names and those whose results it uses', async () => {
    const shared = await temporary()
    const trace = (name: string, extra = '') =>
      `taskSpec: {workspaces: [{name: w}], ${extra} steps: [{name: s, image: i, env: [{name: TO, value: $(workspaces.w.path)/trace}], script: 'echo ${name} >> "$TO"'}]}`
    const { report } = await run(
      pipeline(`
        workspaces: [{name: shared}]
        tasks:
          - {name: c, workspaces: [{name: w, workspace: shared}], runAfter: [b], ${trace('c')}}
          - {name: b, workspaces: [{name: w, workspace: shared}], params: [{name: x, value: $(tasks.a.results.r)}], ${trace('b', 'params: [{name: x}],')}}
          - name: a
            workspaces: [{name: w, workspace: shared}]
            taskSpec:
              workspaces: [{name: w}]
              results: [{name: r}]
              steps:
                - {name: s, image: i, script: 'sleep 0.2; echo a >> "$(workspaces.w.path)/trace"; printf 1 > $(results.r.path)'}
        finally:
          - {name: f, workspaces: [{name: w, workspace: shared}], ${trace('f')}}`),
      { workspaces: { shared } },
    )
    expect(report.status).toBe('Succeeded')
    expect(await read(shared, 'trace')).toBe('a\nb\nc\nf\n')
  })

  test('tasks that nothing orders run side by side', async () => {
    const shared = await temporary()
    const meet = (mine: string, other: string) =>
      `{name: ${mine}, workspaces: [{name: shared}], taskSpec: {workspaces: [{name: shared}], steps: [{name: s, image: i, workingDir: $(workspaces.shared.path), script: 'touch ${mine}; for i in $(seq 100); do [ -e ${other} ] && exit 0; sleep 0.05; done; exit 1'}]}}`
    const { statuses } = await run(
      pipeline(`
        workspaces: [{name: shared}]
        tasks: [${meet('a', 'b')}, ${meet('b', 'a')}]
        finally: [${meet('u', 'v')}, ${meet('v', 'u')}]`),
      { workspaces: { shared } },
    )
    expect(statuses).toEqual(['a:Succeeded', 'b:Succeeded', 'u:Succeeded', 'v:Succeeded'])
  })
})

describe('when', () => {
  test('only what needs the results of a skipped task is skipped with it', async () => {
    const { report, statuses, task } = await run(
      pipeline(`
        params: [{name: go, default: 'no'}, {name: some, type: array, default: [x, 'no']}]
        tasks:
          - {name: skipped, when: [{input: $(params.go), operator: in, values: ['yes']}], ${script('true', 'results: [{name: r}]')}}
          - {name: after, runAfter: [skipped], ${script('true')}}
          - {name: needs, params: [{name: x, value: $(tasks.skipped.results.r)}], ${script('true', 'params: [{name: x}]')}}
          - {name: last, runAfter: [needs], ${script('true')}}
          - {name: notin, when: [{input: $(params.go), operator: notin, values: ['$(params.some[*])']}], ${script('true')}}
          - {name: in, when: [{input: $(params.go), operator: in, values: ['$(params.some[*])']}], ${script('true')}}`),
    )
    expect(statuses).toEqual([
      'skipped:Skipped',
      'after:Succeeded',
      'needs:Skipped',
      'last:Skipped',
      'notin:Skipped',
      'in:Succeeded',
    ])
    expect(task('needs').reason).toBe('results were missing')
    expect(task('last').reason).toBe('parent tasks were skipped')
    expect([report.status, report.exitCode]).toEqual(['Completed', 0])
  })
})

describe('failure', () => {
  test('starts nothing more, lets the running end, then runs finally with what became of each', async () => {
    const echo = 'params: [{name: x}], steps: [{name: s, image: i, command: [echo, $(params.x)]}]'
    const states = '$(tasks.bad.status) $(tasks.slow.status) $(tasks.next.status) $(tasks.status)'
    const bad = script(
      'echo oops; printf half > $(results.r.path); exit 7',
      'results: [{name: r}, {name: never}]',
    )
    const slow = script('sleep 0.5; printf 1 > $(results.r.path)', 'results: [{name: r}]')
    const { report, statuses, output, task } = await run(
      pipeline(`
        tasks:
          - {name: bad, ${bad}}
          - {name: slow, ${slow}}
          - {name: next, runAfter: [slow], ${script('echo wrong')}}
        finally:
          - {name: f, params: [{name: x, value: "${states}"}], taskSpec: {${echo}}}
          - {name: g, params: [{name: x, value: $(tasks.bad.results.r)}], taskSpec: {${echo}}}
          - {name: h, params: [{name: x, value: $(tasks.bad.results.never)}], taskSpec: {${echo}}}
        results: [{name: out, value: $(tasks.slow.results.r)}, {name: none, value: $(tasks.bad.results.never)}]`),
    )
    expect(statuses).toEqual([
      'bad:Failed',
      'slow:Succeeded',
      'next:Skipped',
      'f:Succeeded',
      'g:Succeeded',
      'h:Skipped',
    ])
    expect(output).toContain('Failed Succeeded None Failed')
    expect(output).toContain('half')
    expect(output).not.toContain('wrong')
    expect([report.status, report.exitCode]).toEqual(['Failed', 7])
    expect(task('bad').runs[0]?.failed).toEqual({ step: 's', exitCode: 7, lastLines: ['oops'] })
    expect(report.results).toEqual({ out: '1' })
  })

  test('of a task with onError: continue does not fail the run', async () => {
    const { report, statuses } = await run(
      pipeline(`
        tasks:
          - {name: bad, onError: continue, ${script('exit 3')}}
          - {name: next, runAfter: [bad], ${script('true')}}`),
    )
    expect(statuses).toEqual(['bad:Failed', 'next:Succeeded'])
    expect([report.status, report.exitCode]).toEqual(['Succeeded', 0])
  })

  test('of a step with onError: continue lets the next step run; any other failing step ends the task', async () => {
    const { statuses, output } = await run(
      pipeline(`
        tasks:
          - name: t
            taskSpec:
              steps:
                - {name: a, image: i, onError: continue, script: exit 3}
                - {name: b, image: i, script: "echo second; false; echo third"}
                - {name: c, image: i, script: echo fourth}`),
    )
    expect(statuses).toEqual(['t:Failed'])
    expect(output).toEqual(['second'])
  })

  test('to give a promised result fails the run before the task that needs it', async () => {
    const { report, task } = await run(
      pipeline(`
        tasks:
          - {name: a, ${script('true', 'results: [{name: r}]')}}
          - {name: b, params: [{name: x, value: $(tasks.a.results.r)}], ${script('true', 'params: [{name: x}]')}}`),
    )
    expect(task('b')).toMatchObject({ status: 'Invalid', reason: 'the task a gave no result r' })
    expect([report.status, report.exitCode]).toEqual(['Failed', 1])
  })

  test('is tried again with a new pod and empty folders, under the same TaskRun', async () => {
    const shared = await temporary()
    const yaml = (retries: number) =>
      pipeline(`
        workspaces: [{name: shared}]
        tasks:
          - name: t
            retries: ${retries}
            workspaces: [{name: shared}]
            taskSpec:
              workspaces: [{name: shared}]
              steps:
                - name: s
                  image: i
                  env:
                    - {name: IDS, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tekton.dev/taskRunUID']"}}}
                    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
                    - {name: TO, value: $(workspaces.shared.path)/tries}
                  script: |
                    test ! -e left; touch left
                    echo "$IDS $POD" >> "$TO"
                    test $(grep -c . "$TO") -ge 3`)
    const { report, task } = await run(yaml(2), { workspaces: { shared } })
    expect([report.status, task('t').runs[0]?.attempts]).toEqual(['Succeeded', 3])
    const lines = (await read(shared, 'tries'))
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
    expect(new Set(lines.map(([uid]) => uid)).size).toBe(1)
    expect(new Set(lines.map(([, pod]) => pod)).size).toBe(3)
    const again = await run(yaml(1), { workspaces: { shared: await temporary() } })
    expect([again.report.status, again.task('t').runs[0]?.attempts]).toEqual(['Failed', 2])
  })
})

describe('timeouts', () => {
  const slow = script('sleep 20')

  test('of a task stops it, and finally runs', async () => {
    const { report, task } = await run(
      pipeline(`
        tasks: [{name: t, timeout: 200ms, ${slow}}]
        finally: [{name: f, ${script('true')}}]`),
    )
    expect(task('t')).toMatchObject({ status: 'TimedOut' })
    expect(task('f').status).toBe('Succeeded')
    expect([report.status, report.exitCode]).toEqual(['Failed', 143])
    expect(report.ms).toBeLessThan(15_000)
  })

  test('of a step fails its task, even with onError: continue', async () => {
    const { task } = await run(
      pipeline(`
        tasks:
          - name: t
            taskSpec:
              steps:
                - {name: s, image: i, timeout: 200ms, onError: continue, script: sleep 20}
                - {name: t, image: i, script: 'true'}`),
    )
    expect(task('t').runs[0]).toMatchObject({
      status: 'Failed',
      message: 'the step took over 0.2 s',
      failed: { step: 's' },
    })
  })

  test('of the tasks still lets finally run; of the run does not', async () => {
    const yaml = (timeouts: string) =>
      pipeline(`tasks: [{name: t, ${slow}}]\nfinally: [{name: f, ${script('true')}}]`).replace(
        /^/,
        `apiVersion: tekton.dev/v1\nkind: PipelineRun\nmetadata: {name: r}\nspec: {pipelineRef: {name: p}, timeouts: {${timeouts}}}\n---\n`,
      )
    const ofTasks = await run(yaml('tasks: 200ms'))
    expect(ofTasks.statuses).toEqual(['t:TimedOut', 'f:Succeeded'])
    expect(ofTasks.report.status).toBe('TimedOut')
    const ofRun = await run(yaml('pipeline: 200ms'))
    expect(ofRun.statuses).toEqual(['t:TimedOut', 'f:Skipped'])
    const ofOption = await run(yaml(''), { timeoutMs: 200 })
    expect(ofOption.report).toMatchObject({ status: 'TimedOut', exitCode: 143 })
  })

  test('kill what ignores SIGTERM once the grace is over', async () => {
    const { task } = await run(
      pipeline(`tasks: [{name: t, timeout: 300ms, ${script("trap '' TERM; while :; do sleep 0.1; done")}}]`),
      { graceMs: 300 },
    )
    expect(task('t').runs[0]?.failed?.exitCode).toBe(137)
  })
})
