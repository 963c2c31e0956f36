/** Every generated file of the repository: its path and its content. */
import { CONTRACTS } from './contracts.ts'
import { coordinator } from './coordinator.ts'
import { fleet } from './fleet.ts'
import { claim, cronJob, rights } from './maintenance.ts'
import { SERVICE_ACCOUNT } from './names.ts'
import { probeLocks } from './probe-locks.ts'
import { demoPipeline } from './pipelines/demo.ts'
import { multiAgentPipeline } from './pipelines/multi-agent.ts'
import { pipelineReadme } from './pipelines/readme.ts'
import { sampleParams, toolUpgradePipeline } from './pipelines/tool-upgrade.ts'
import { stepReadme } from './readme.ts'
import { renderYaml } from './render.ts'
import { POD_TEMPLATE, sampleTaskRun } from './sample.ts'
import type { Settings } from './settings.ts'
import { stepActionOf } from './stepaction.ts'
import { taskOf } from './task.ts'

/** The folders that hold generated files and nothing else. */
export const GENERATED_FOLDERS = ['tasks', 'stepactions', 'pipelines', 'maintenance']

export function generatedFiles(settings: Settings): Map<string, string> {
  const files = new Map<string, string>()
  const tasks = CONTRACTS.map((contract) => taskOf(contract, settings))
  const stepActions = CONTRACTS.map((contract) => stepActionOf(contract, settings))
  const toolUpgrade = toolUpgradePipeline()
  const pipelines = [demoPipeline(settings), multiAgentPipeline(settings), toolUpgrade]

  for (const [kind, objects, form] of [
    ['tasks', tasks, 'task'],
    ['stepactions', stepActions, 'stepAction'],
  ] as const) {
    CONTRACTS.forEach((contract, i) => {
      const folder = `${kind}/${contract.name}/${contract.version}`
      const sample = renderYaml(sampleTaskRun(contract, form, settings))
      files.set(`${folder}/${contract.name}.yaml`, renderYaml(objects[i]!))
      files.set(`${folder}/README.md`, stepReadme(contract, form, sample))
      files.set(`${folder}/samples/taskrun.yaml`, sample)
    })
  }
  for (const pipeline of pipelines) {
    const name = pipeline.metadata!.name!
    const folder = `pipelines/${name}/${pipeline.metadata!.labels!['app.kubernetes.io/version']}`
    const sample = renderYaml(
      samplePipelineRun(name, pipeline === toolUpgrade ? { params: sampleParams() } : {}, settings),
    )
    files.set(`${folder}/${name}.yaml`, renderYaml(pipeline))
    files.set(`${folder}/README.md`, pipelineReadme(pipeline, sample))
    files.set(`${folder}/samples/pipelinerun.yaml`, sample)
  }
  const maintenance = [claim(settings), ...rights(), cronJob(settings)]
  files.set('maintenance/claim.yaml', renderYaml(claim(settings)))
  files.set('maintenance/rights.yaml', renderYaml(...rights()))
  files.set('maintenance/cronjob.yaml', renderYaml(cronJob(settings)))
  files.set('maintenance/coordinator.yaml', renderYaml(...coordinator(settings)))
  files.set('maintenance/probe-locks.yaml', renderYaml(probeLocks(settings)))
  files.set('maintenance/fleet.yaml', renderYaml(...fleet(settings)))
  files.set('maintenance/install.yaml', renderYaml(...maintenance, ...tasks, ...stepActions, ...pipelines))
  return files
}

const samplePipelineRun = (name: string, more: object, { claim: claimName }: Settings): object => ({
  apiVersion: 'tekton.dev/v1',
  kind: 'PipelineRun',
  metadata: { generateName: `${name}-` },
  spec: {
    pipelineRef: { name },
    ...more,
    taskRunTemplate: { serviceAccountName: SERVICE_ACCOUNT, podTemplate: POD_TEMPLATE },
    workspaces: [{ name: 'shared', persistentVolumeClaim: { claimName } }],
  },
})
