/** The example of a fleet and the operators' page, against what the program reads. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadAll } from 'js-yaml'
import { describe, expect, it } from 'vitest'
import { generatedFiles } from '../../src/catalog/files.ts'
import { DEFAULTS } from '../../src/catalog/settings.ts'
import { settingEnv, SETTINGS, WORKER_ENV, type SettingName } from '../../src/tool-agent/contract.ts'
import { readSettings } from '../../src/tool-agent/settings.ts'
import { CONSUMER_PHASES, TARGET_PHASES } from '../../src/upgrades/format.ts'

const names = Object.keys(SETTINGS) as SettingName[]

interface Deployment {
  metadata: { name: string }
  spec: {
    replicas: number
    template: {
      spec: {
        terminationGracePeriodSeconds: number
        automountServiceAccountToken: boolean
        initContainers: [{ command: string[]; env: { name: string; value?: string }[] }]
        containers: [
          {
            args: string[]
            env: { name: string; value?: string }[]
            volumeMounts: { mountPath: string; readOnly?: boolean; subPathExpr?: string }[]
            securityContext: object
            resources: object
          },
        ]
      }
    }
  }
}

const text = generatedFiles(DEFAULTS).get('maintenance/fleet.yaml')!
const [deployment] = loadAll(text) as [Deployment]
const pod = deployment.spec.template.spec
const [container] = pod.containers

describe('the example of a fleet', () => {
  it('has ten workers, every setting, and a grace that is longer than they may take', () => {
    expect(deployment.spec.replicas).toBe(10)
    const env = Object.fromEntries(container.env.map(({ name, value }) => [name, value]))
    expect(Object.keys(env).filter((name) => name.startsWith('AGENT_'))).toEqual(names.map(settingEnv))
    expect(Object.keys(env)).toEqual(
      expect.arrayContaining(['POD_NAME', 'POD_UID', 'POD_NAMESPACE', 'NODE_NAME']),
    )
    const { settings } = readSettings(env, container.args)
    expect(settings).toMatchObject({ FLEET: deployment.metadata.name, HEALTH: { url: expect.any(URL) } })
    expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(settings.STOP_TIMEOUT)
  })

  it('has its own folder made by the group, not by the kubelet, which makes it as root', () => {
    const [init] = pod.initContainers
    expect(init.command.at(-1)).toBe('umask 0002; mkdir -p "$FOLDER"')
    const [name, folder] = init.env
    // Kubernetes fills in what was defined before.
    expect(name!.name).toBe('POD_NAME')
    expect(folder!.value).toBe(`${SETTINGS.FOLDER.default}/${container.volumeMounts[1]!.subPathExpr}`)
  })

  it('may write to nothing but its own folder of the volume, and has no rights', () => {
    expect(pod.automountServiceAccountToken).toBe(false)
    const [shared, own] = container.volumeMounts
    expect(shared).toMatchObject({ mountPath: SETTINGS.FOLDER.default, readOnly: true })
    expect(own).toMatchObject({ subPathExpr: `fleets/${deployment.metadata.name}/consumers/$(POD_NAME)` })
    expect(container.env).toContainEqual({ name: settingEnv('OWN_FOLDER'), value: own!.mountPath })
    expect(container).toMatchObject({
      securityContext: { readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
      resources: { requests: { memory: expect.anything() }, limits: { memory: expect.anything() } },
    })
    expect(text).not.toMatch(/runAsUser|fsGroup/)
  })
})

describe('docs/operators.md', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/operators.md'), 'utf8')

  it('has every setting as it is, and what the worker finds', () => {
    for (const name of names) {
      const { default: fallback, description } = SETTINGS[name]
      expect(page).toContain(
        `| \`${settingEnv(name)}\` | ${fallback ? `\`${fallback}\`` : 'none'} | ${description} |`,
      )
    }
    for (const [name, description] of Object.entries(WORKER_ENV))
      expect(page).toContain(`| \`${name}\` | ${description} |`)
  })

  it('says what each state means', () => {
    for (const phase of [...TARGET_PHASES, ...CONSUMER_PHASES]) expect(page).toContain(`| \`${phase}\` | `)
  })
})
