import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { IDENTITY_ENV } from '../../src/identity.ts'
import { pipeline, read, run, script, stepAction, task, temporary } from './helper.ts'

const NASTY = `it's "quoted" $(date) \`id\` $HOME ; rm -rf x\nnext line\t– ünïcödé 💾 \\n`

describe('values', () => {
  test('arrive intact by env and args, whatever they hold', async () => {
    const shared = await temporary()
    const yaml = task(`
      params: [{name: v}]
      workspaces: [{name: shared}]
      steps:
        - name: s
          image: i
          env: [{name: V, value: $(params.v)}, {name: TO, value: $(workspaces.shared.path)}]
          args: ["$(params.v)"]
          script: |
            printf %s "$V" > "$TO/env"
            printf %s "$1" > "$TO/arg"`)
    const { report } = await run(yaml, { params: { v: NASTY }, workspaces: { shared } })
    expect(report.status).toBe('Succeeded')
    expect(await read(shared, 'env')).toBe(NASTY)
    expect(await read(shared, 'arg')).toBe(NASTY)
  })

  test('of ConfigMaps and Secrets come from the environment of the run, if they may be missing', async () => {
    const env = (optional: boolean) => `
      steps:
        - name: s
          image: i
          env:
            - name: S3_SESSION_TOKEN
              valueFrom: {secretKeyRef: {name: creds, key: k, optional: ${optional}}}
            - name: CONFIG_X
              valueFrom: {configMapKeyRef: {name: config, key: k, optional: ${optional}}}
          script: echo "token=$S3_SESSION_TOKEN config=\${CONFIG_X-unset}"`
    vi.stubEnv('S3_SESSION_TOKEN', 'from-here')
    onTestFinished(() => void vi.unstubAllEnvs())
    expect((await run(task(env(true)))).output.join('\n')).toContain('token=from-here config=unset')
    const refused = await run(task(env(false))).catch((error: unknown) => error)
    expect(JSON.stringify(refused, Object.getOwnPropertyNames(refused as object))).toContain(
      'no ConfigMap or Secret here',
    )
  })

  test('are read by the kubelet once more, as in a cluster: $(NAME) of env before it, and $$', async () => {
    const { output } = await run(
      task(`
        steps:
          - name: s
            image: i
            env: [{name: A, value: one}, {name: B, value: "$(A) $$(A) $(C) $"}, {name: C, value: x}]
            command: [echo, "$(B)/$(NONE)"]`),
    )
    expect(output).toEqual(['one $(A) $(C) $/$(NONE)'])
  })

  test('have defaults, which may refer to other params', async () => {
    const { output } = await run(
      task(`
        params: [{name: full, default: "$(params.name).txt"}, {name: name, default: file}, {name: o, type: object, properties: {a: {}, b: {}}, default: {a: "1", b: "2"}}]
        steps: [{name: s, image: i, command: [echo, $(params.full), $(params.o.a), $(params.o.b), "$(params['name'])"]}]`),
      { params: { o: { b: '3' } } },
    )
    expect(output).toEqual(['file.txt 1 3 file'])
  })

  test('of the pipeline are seen by embedded specs without declaring them', async () => {
    const { output } = await run(
      pipeline(`
        params: [{name: who}]
        tasks: [{name: t, taskSpec: {steps: [{name: s, image: i, command: [echo, $(params.who)]}]}}]`),
      { params: { who: 'me' } },
    )
    expect(output).toEqual(['me'])
  })
})

describe('identity', () => {
  const env = Object.entries(IDENTITY_ENV)
    .map(([name, field]) => `{name: ${name}, valueFrom: {fieldRef: {fieldPath: "${field}"}}}`)
    .join(', ')
  const steps = `steps: [{name: s, image: i, env: [${env}], script: 'for n in ${Object.keys(IDENTITY_ENV).join(' ')}; do eval "echo $n=\\$$n"; done'}]`
  const parse = (output: string[]): Record<string, string> =>
    Object.fromEntries(output.map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1)]))

  test('of a pipeline task is what Tekton puts on its pod', async () => {
    const { report, output } = await run(pipeline(`tasks: [{name: build, taskSpec: {${steps}}}]`))
    const found = parse(output)
    expect(found).toMatchObject({
      TEKTON_PIPELINE_RUN: report.name,
      TEKTON_PIPELINE_RUN_UID: report.uid,
      TEKTON_PIPELINE_TASK: 'build',
      TEKTON_TASK_RUN: `${report.name}-build`,
      POD_NAMESPACE: 'local',
      POD_NAME: `${report.name}-build-pod`,
    })
    for (const name of ['TEKTON_TASK_RUN_UID', 'POD_UID']) expect(found[name]).toMatch(/^[0-9a-f-]{36}$/)
    expect(found['NODE_NAME']).not.toBe('')
  })

  test('of a task by itself has no PipelineRun', async () => {
    const { report, output } = await run(task(steps, 'build'))
    expect(parse(output)).toMatchObject({
      TEKTON_PIPELINE_RUN: '',
      TEKTON_PIPELINE_RUN_UID: '',
      TEKTON_PIPELINE_TASK: '',
      TEKTON_TASK_RUN: report.name,
      TEKTON_TASK_RUN_UID: report.uid,
    })
  })

  test('is in the context variables too', async () => {
    const { report, output } = await run(
      pipeline(`
        tasks:
          - name: t
            params: [{name: x, value: "$(context.pipelineRun.name) $(context.pipelineRun.uid) $(context.pipelineRun.namespace) $(context.pipeline.name)"}]
            taskSpec:
              params: [{name: x}]
              steps: [{name: s, image: i, command: [echo, $(params.x), $(context.taskRun.name), $(context.taskRun.namespace), $(context.task.name)]}]`),
    )
    expect(output).toEqual([`${report.name} ${report.uid} local p ${report.name}-t local t`])
  })
})

describe('a script', () => {
  test('is run by the program of its first line, else by sh -e', async () => {
    const { output } = await run(
      task(`
        steps:
          - name: node
            image: i
            script: |
              #!/usr/bin/env node
              console.log(process.version, process.argv.slice(2).join())
            args: [a, b c]
          - {name: sh, image: i, script: "echo before; false; echo after"}`),
    )
    expect(output).toEqual([`${process.version} a,b c`, 'before'])
  })

  test('gets little of this environment, and a HOME of its own', async () => {
    process.env['LOCAL_TEST_SECRET'] = 'hidden'
    process.env['SHARED_WORKSPACE_TEST'] = 'seen'
    const { output } = await run(
      task(
        `steps: [{name: s, image: i, script: 'echo "$LOCAL_TEST_SECRET|$SHARED_WORKSPACE_TEST|$SHARED_WORKSPACE_LOCAL"; cd ~; pwd'}]`,
      ),
    )
    expect(output[0]).toBe('|seen|1')
    expect(output[1]).toMatch(/\/tekton\/home$/)
    expect(output[1]).not.toBe(process.env['HOME'])
  })

  test('that spells out a path of the pod is warned of; one that gets it by a variable is not', async () => {
    const { notes } = await run(
      task(`
        results: [{name: r}]
        steps:
          - {name: bad, image: i, script: 'ls /workspace/source > /dev/null || true'}
          - {name: good, image: i, script: 'echo 1 > $(results.r.path); ls $HOME/workspace || true'}`),
    )
    expect(notes.filter((note) => note.startsWith('warning:'))).toEqual([
      'warning: t bad: its script spells out /workspace, which is a path of this machine here',
    ])
  })
})

describe('paths of the pod', () => {
  test('are folders of the task in command, args, env, workingDir and params', async () => {
    const shared = await temporary()
    await writeFile(join(shared, 'file'), 'content')
    const { report, output } = await run(
      task(`
        params: [{name: p, default: /workspace/made}, {name: keep, default: "https://host/workspace/x"}]
        workspaces: [{name: shared}, {name: cache, mountPath: /cache, optional: true}]
        volumes: [{name: v, emptyDir: {}}]
        stepTemplate: {volumeMounts: [{name: v, mountPath: /data}], env: [{name: A, value: template}, {name: B, value: template}]}
        steps:
          - {name: a, image: i, env: [{name: A, value: own}], script: 'echo "$A $B"; echo 1 > "$1"', args: [/data/one]}
          - {name: b, image: i, command: [cat, /data/one, /workspace/shared/file]}
          - {name: c, image: i, workingDir: $(params.p), env: [{name: X, value: "--in=/workspace/made"}], script: 'test "--in=$PWD" = "$X"; echo "$1"', args: [$(params.keep)]}
          - {name: d, image: i, workingDir: /workspace, script: 'cat shared/file; ls'}`),
      { workspaces: { shared } },
    )
    expect(report.message).toBeUndefined()
    expect(output).toEqual([
      'own template',
      '1',
      'content',
      'https://host/workspace/x',
      'contentmade',
      'shared',
    ])
  })

  test('under a subPath are made; one that leads out fails the task', async () => {
    const shared = await temporary()
    const yaml = (subPath: string) =>
      pipeline(`
        workspaces: [{name: shared}]
        tasks:
          - name: t
            workspaces: [{name: w, workspace: shared, subPath: ${subPath}}]
            taskSpec: {workspaces: [{name: w}], steps: [{name: s, image: i, script: 'echo 1 > $(workspaces.w.path)/file'}]}`)
    const { report } = await run(yaml('runs/$(context.pipelineRun.uid)'), { workspaces: { shared } })
    expect(await read(shared, 'runs', report.uid, 'file')).toBe('1\n')
    const out = await run(yaml('a/../../b'), { workspaces: { shared } })
    expect(out.report).toMatchObject({
      status: 'Failed',
      message: 't: the subPath a/../../b leads out of the workspace',
    })
  })

  test('of an optional workspace that is not bound are empty', async () => {
    const { output } = await run(
      pipeline(`
        workspaces: [{name: o, optional: true}]
        tasks:
          - name: t
            when: [{input: $(workspaces.o.bound), operator: in, values: ["false"]}]
            workspaces: [{name: w, workspace: o}]
            taskSpec:
              workspaces: [{name: w, optional: true}]
              steps: [{name: s, image: i, command: [echo, "<$(workspaces.w.path)>", $(workspaces.w.bound)]}]`),
    )
    expect(output).toEqual(['<> false'])
  })
})

describe('a StepAction', () => {
  test('takes params with defaults and gives results to later steps, to the task and back', async () => {
    const action = stepAction(`
      params: [{name: who, default: nobody}, {name: list, type: array, default: []}, {name: mount, default: v}]
      results: [{name: greeting}, {name: items, type: array}]
      env: [{name: WHO, value: $(params.who)}, {name: TO, value: $(step.results.greeting.path)}, {name: ITEMS, value: $(step.results.items.path)}]
      volumeMounts: [{name: $(params.mount), mountPath: /data}]
      command:
        - sh
        - -c
        - |
          printf "hello $WHO" > "$TO"
          printf '["%s","b c"]' "$2" > "$ITEMS"
          echo "$#"
          test -d "$1"
        - sh
        - /data
      args: ["$(params.list[*])"]`)
    const { report, output } = await run(
      [
        task(`
          params: [{name: name}]
          volumes: [{name: v, emptyDir: {}}]
          results: [{name: out, value: $(steps.first.results.greeting)}, {name: none, value: $(steps.last.results.never)}]
          steps:
            - {name: first, ref: {name: a}, params: [{name: who, value: $(params.name)}, {name: list, value: [x, "y z"]}]}
            - {name: second, ref: {name: a}, params: [{name: who, value: $(steps.first.results.greeting)}]}
            - {name: last, image: i, results: [{name: never}], env: [{name: G, value: $(steps.second.results.greeting)}], command: [sh, -c, 'echo "$G|$0|$1"', "$(steps.first.results.items[*])"]}`),
        action,
      ].join('---\n'),
      { params: { name: 'you' } },
    )
    expect(report.tasks[0]?.runs[0]).toMatchObject({ status: 'Succeeded' })
    expect(output).toEqual(['3', '1', 'hello hello you|x|b c'])
    expect(report.results).toEqual({ out: 'hello you' })
  })
})

describe('the catalog', () => {
  const put = async (catalog: string, path: string, text: string) => {
    await mkdir(dirname(join(catalog, path)), { recursive: true })
    await writeFile(join(catalog, path), text)
  }
  const says = (text: string, name = 'hello') =>
    task(`steps: [{name: s, image: i, command: [echo, ${text}]}]`, name)

  test('gives the newest version of a name, by taskRef or by the cluster resolver', async () => {
    const catalog = await temporary()
    await put(catalog, 'tasks/hello/0.9/hello.yaml', says('old'))
    await put(catalog, 'tasks/hello/0.10/hello.yaml', says('new'))
    await put(
      catalog,
      'pipelines/p/0.1/p.yaml',
      pipeline(`
        tasks:
          - {name: a, taskRef: {name: hello}}
          - {name: b, runAfter: [a], taskRef: {resolver: cluster, params: [{name: kind, value: task}, {name: name, value: hello}]}}`),
    )
    const { output } = await run('', { pipeline: 'p', catalog })
    expect(output).toEqual(['new', 'new'])
  })

  test('starts our own step programs from the sources, with their args', async () => {
    const programs = await temporary()
    await put(
      programs,
      'echo-step/main.ts',
      'const args: string[] = process.argv.slice(2)\nconsole.log(args.join(), process.env["X"])\nprocess.exit(41)',
    )
    const yaml = task(
      `steps: [{name: s, image: i, command: [node, /opt/shared-workspace/steps/echo-step.mjs], args: [a, b], env: [{name: X, value: x}]}]`,
    )
    const { report, output } = await run(yaml, { programs })
    expect(output).toEqual(['a,b x'])
    expect(report.exitCode).toBe(41)
  })
})

describe('a run', () => {
  test('takes the params of a PipelineRun, an emptyDir for a workspace, and options over both', async () => {
    const { output } = await run(
      `
apiVersion: tekton.dev/v1
kind: PipelineRun
metadata: {generateName: mine-}
spec:
  params: [{name: a, value: from-run}, {name: list, value: [p, q]}]
  workspaces: [{name: w, emptyDir: {}}]
  pipelineSpec:
    params: [{name: a, type: string}, {name: list, type: array}]
    workspaces: [{name: w}]
    tasks:
      - name: t
        workspaces: [{name: w}]
        params: [{name: a, value: $(params.a)}, {name: l, value: "$(params.list[*])"}]
        taskSpec:
          params: [{name: a}, {name: l, type: array}]
          workspaces: [{name: w}]
          steps: [{name: s, image: i, command: [echo, $(params.a), "$(params.l[*])"]}, {name: u, image: i, script: 'test -d $(workspaces.w.path)'}]
`,
      { params: { list: '["x","y"]' } },
    )
    expect(output).toEqual(['from-run x y'])
  })

  test('keeps the output of steps where asked to', async () => {
    const { report } = await run(pipeline(`tasks: [{name: t, ${script('echo kept')}}]`), { keepLogs: true })
    const { logs = '' } = report
    onTestFinished(() => rm(logs, { recursive: true }))
    expect(await read(logs, `${report.name}-t.s.log`)).toBe('kept\n')
  })
})
