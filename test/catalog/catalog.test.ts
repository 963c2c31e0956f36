import { load, loadAll } from 'js-yaml'
import { describe, expect, it } from 'vitest'
import { CONTRACTS } from '../../src/catalog/contracts.ts'
import { generatedFiles } from '../../src/catalog/files.ts'
import { renderYaml } from '../../src/catalog/render.ts'
import { DEFAULTS } from '../../src/catalog/settings.ts'
import { defaultOf } from '../../src/catalog/step.ts'
import { stepCommand, stepOfCommand } from '../../src/contract.ts'
import { ERRORS } from '../../src/errors.ts'
import type { Pipeline, StepAction, Task } from '../../src/catalog/tekton/types.generated.ts'

const files = generatedFiles(DEFAULTS)
const objects = [...files]
  .filter(([path]) => path.endsWith('.yaml'))
  .flatMap(([path, text]) => (loadAll(text) as { kind: string }[]).map((object) => ({ path, object })))
const of = <T>(kind: string): T[] =>
  objects
    .filter(({ path, object }) => object.kind === kind && !path.startsWith('maintenance/'))
    .map(({ object }) => object as T)
const tasks = of<Task>('Task')
const stepActions = of<StepAction>('StepAction')
const pipelines = of<Pipeline>('Pipeline')

interface Container {
  name?: string
  command?: string[]
  args?: string[]
  script?: string
  ref?: object
  env?: { name: string; value?: string }[]
  securityContext?: object
  computeResources?: { requests?: object; limits?: object }
}
const pipelineSteps = pipelines.flatMap((pipeline) =>
  [...(pipeline.spec!.tasks ?? []), ...(pipeline.spec!.finally ?? [])].flatMap(
    (task) => (task as { taskSpec?: { steps: Container[] } }).taskSpec?.steps ?? [],
  ),
)
/** The step of a Task that runs the user's command in an image of the user's; the program is its sidecar then. */
const commandSteps = tasks.flatMap((task) => (task.spec!.sidecars ? (task.spec!.steps as Container[]) : []))
const sidecars = tasks.flatMap((task) => (task.spec!.sidecars ?? []) as Container[])
const taskSteps = tasks.flatMap((task) => (task.spec!.sidecars ? [] : (task.spec!.steps as Container[])))
const containers = [
  ...taskSteps,
  ...sidecars,
  ...(stepActions.map((action) => action.spec) as Container[]),
  ...pipelineSteps,
]

describe('every generated resource', () => {
  it('is there once for each contract and form', () => {
    const names = CONTRACTS.map((contract) => contract.name).sort()
    expect(tasks.map((task) => task.metadata!.name).sort()).toEqual(names)
    expect(stepActions.map((action) => action.metadata!.name).sort()).toEqual(names)
    expect(pipelines.map((pipeline) => pipeline.metadata!.name)).toEqual([
      'shared-workspace-demo',
      'multi-agent',
      'tool-upgrade',
    ])
  })

  it('has the labels and annotations that a catalog asks for, and the version of its folder', () => {
    for (const { path, object } of objects) {
      const { kind, metadata } = object as Task
      if (!['Task', 'StepAction', 'Pipeline'].includes(kind!) || path.startsWith('maintenance/')) continue
      const [, name, version] = path.split('/')
      expect(metadata!.name).toBe(name)
      expect(metadata!.labels!['app.kubernetes.io/version']).toBe(version)
      for (const key of ['pipelines.minVersion', 'categories', 'tags', 'displayName', 'platforms']) {
        expect(metadata!.annotations![`tekton.dev/${key}`], `${path} ${key}`).toBeTruthy()
      }
    }
  })

  it('describes itself in one line, then more', () => {
    for (const { spec, metadata } of [...tasks, ...stepActions, ...pipelines]) {
      expect(spec!.description, metadata!.name).toMatch(/^\S[^\n]+\.\n\n\S/)
    }
  })
})

describe('every step', () => {
  it('has a command or a script or is a reference, and no parameter inside a script', () => {
    for (const step of containers) {
      expect([step.command, step.script, step.ref].filter(Boolean)).toHaveLength(1)
      expect(step.script ?? '').not.toMatch(/\$\((params|tasks|workspaces|results|context)\./)
    }
  })

  it('has requests and limits where its form allows them', () => {
    for (const step of [...taskSteps, ...commandSteps, ...sidecars, ...pipelineSteps]) {
      expect(step.computeResources?.requests, step.name).toMatchObject({
        cpu: expect.anything(),
        memory: expect.anything(),
      })
      expect(step.computeResources?.limits, step.name).toMatchObject({
        cpu: expect.anything(),
        memory: expect.anything(),
      })
    }
  })

  it('meets the restricted Pod Security Standard without saying who runs', () => {
    for (const step of containers.filter((item) => !item.ref)) {
      expect(step.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        readOnlyRootFilesystem: true,
        seccompProfile: { type: 'RuntimeDefault' },
      })
    }
    // What an image of the user's writes to is not known here.
    for (const step of commandSteps) {
      expect(step.securityContext).toEqual({
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        seccompProfile: { type: 'RuntimeDefault' },
      })
    }
    const yaml = [...tasks, ...stepActions, ...pipelines].map((item) => JSON.stringify(item)).join()
    expect(yaml).not.toMatch(/runAsUser|fsGroup/)
  })

  it('gets every parameter, workspace and result by the names that the program reads', () => {
    for (const step of [...taskSteps, ...(stepActions.map((action) => action.spec) as Container[])]) {
      const contract = CONTRACTS.find((item) => item.name === stepOfCommand(step.command!))!
      const env = step.env!.map((variable) => variable.name)
      const strings = Object.values(contract.params).filter((definition) => definition.type === 'string')
      expect(env.filter((name) => name.startsWith('PARAM_'))).toHaveLength(strings.length)
      expect(env.filter((name) => name.startsWith('WORKSPACE_'))).toHaveLength(
        Object.keys(contract.workspaces).length,
      )
      expect(env.filter((name) => name.startsWith('RESULT_'))).toHaveLength(
        Object.keys(contract.results).length,
      )
      expect(env).toContain('TEKTON_PIPELINE_RUN_UID')
    }
  })

  it('with a sidecar gives the program the same, but for the script, and takes its results over', () => {
    const namesIn = ({ env = [] }: Container) => env.map((variable) => variable.name)
    const ofStepAction = stepActions.find((action) => action.metadata!.name === 'with-lock')!
    const [step, sidecar] = [commandSteps[0]!, sidecars[0]!]
    expect(namesIn(sidecar).sort()).toEqual(
      [...namesIn(ofStepAction.spec as Container), 'MEETING']
        .filter((name) => name !== 'PARAM_SCRIPT')
        .sort(),
    )
    const results = namesIn(step).filter((name) => name.startsWith('RESULT_'))
    expect(results).toEqual(namesIn(sidecar).filter((name) => name.startsWith('RESULT_')))
    expect(namesIn(step)).toEqual(expect.arrayContaining(['MEETING', 'PARAM_SCRIPT', 'PARAM_NAME']))
  })

  it('has scripts in its args that the kubelet leaves as they are', () => {
    for (const { args = [] } of [...commandSteps, ...sidecars]) {
      for (const text of args.filter((arg) => arg.includes('\n')))
        expect(text).not.toMatch(/\$\$|\$\([a-zA-Z]/)
    }
  })
})

describe('contracts', () => {
  it.each(CONTRACTS.map((contract) => [contract.name, contract] as const))(
    '%s: its defaults pass its own schemas',
    (_, contract) => {
      for (const [name, definition] of Object.entries(contract.params)) {
        for (const form of ['task', 'stepAction'] as const) {
          const fallback = defaultOf(definition, form)
          if (fallback !== undefined)
            expect(definition.schema.safeParse(fallback), name).toMatchObject({ success: true })
        }
      }
    },
  )

  it.each(CONTRACTS.map((contract) => [contract.name, contract] as const))(
    "%s: names are the house's",
    (name, contract) => {
      for (const param of Object.keys(contract.params)) expect(param).toMatch(/^[a-z][a-zA-Z0-9]*$/)
      for (const result of Object.keys(contract.results))
        expect(result).toMatch(/^([a-z-]+|ARTIFACT_(OUTPUTS|INPUTS))$/)
      expect(
        Object.values(contract.params).filter((definition) => definition.type === 'array').length,
      ).toBeLessThanOrEqual(1)
      expect(stepOfCommand(stepCommand(name))).toBe(name)
    },
  )

  it("exit codes are unique and leave the shell's and the signals' alone", () => {
    const codes = Object.values(ERRORS).map((error) => error.exit)
    expect(new Set(codes).size).toBe(codes.length)
    for (const code of codes) expect(code > 2 && code < 126).toBe(true)
  })
})

describe('settings', () => {
  const own = generatedFiles({
    image: 'my/image:1',
    claim: 'ci-artifacts',
    size: '50Gi',
    storageClass: 'cephfs',
    fsGroup: '2000',
  })

  it('put the image everywhere', () => {
    for (const [path, text] of own) expect(text, path).not.toContain(DEFAULTS.image)
  })

  it('choose the storage class and the group of the maintenance pods', () => {
    expect(load(own.get('maintenance/claim.yaml')!)).toMatchObject({
      spec: { storageClassName: 'cephfs', accessModes: ['ReadWriteMany'] },
    })
    expect(files.get('maintenance/claim.yaml')).not.toContain('storageClassName')
    expect(own.get('maintenance/cronjob.yaml')).toContain('fsGroup: 2000')
    expect(files.get('maintenance/cronjob.yaml')).not.toContain('fsGroup')
  })
})

describe('the YAML writer', () => {
  it('keeps scripts, quotes what would be misread, and drops undefined', () => {
    const script = '#!/bin/sh\nset -eu\n  echo "x: y"\n'
    const value = { version: '0.1', on: 'true', script, gone: undefined, text: '$(params.x)', colon: 'a: b' }
    const text = renderYaml(value)
    const { gone: _, ...kept } = value
    expect(load(text)).toEqual(kept)
    expect(text).toContain('script: |\n')
  })
})
