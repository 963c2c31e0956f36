/** The coordinator's YAML and its page, against what the program reads. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadAll } from 'js-yaml'
import { describe, expect, it } from 'vitest'
import { generatedFiles } from '../../src/catalog/files.ts'
import { DEFAULTS } from '../../src/catalog/settings.ts'
import { CONFIGURATION, SECRETS } from '../../src/configuration.ts'
import { COORDINATOR, settingEnv, SETTINGS, type SettingName } from '../../src/coordinator/contract.ts'
import { readSettings } from '../../src/coordinator/settings.ts'

const names = Object.keys(SETTINGS) as SettingName[]

interface Thing {
  kind: string
  metadata: { name: string }
  spec: {
    replicas: number
    strategy: object
    ports: { port: number }[]
    template: { spec: Record<string, unknown> & { containers: Container[]; volumes: object[] } }
  }
}
interface Container {
  env: { name: string; value?: string }[]
  securityContext: object
  resources: { requests: object; limits: object }
  volumeMounts: { mountPath: string }[]
}

const text = generatedFiles(DEFAULTS).get('maintenance/coordinator.yaml')!
const objects = loadAll(text) as Thing[]
const of = (kind: string): Thing => objects.find((object) => object.kind === kind)!

describe('the coordinator’s YAML', () => {
  it('is restricted, alone on its disk, without rights, and has every setting', () => {
    const { spec } = of('Deployment')
    expect([spec.replicas, spec.strategy]).toEqual([1, { type: 'Recreate' }])
    const pod = spec.template.spec
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    })
    const [container] = pod.containers
    expect(container).toMatchObject({
      securityContext: {
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
        readOnlyRootFilesystem: true,
      },
      resources: { requests: { memory: expect.anything() }, limits: { memory: expect.anything() } },
      livenessProbe: expect.anything(),
      readinessProbe: expect.anything(),
    })
    expect(container!.env.map(({ name }) => name)).toEqual(names.map(settingEnv))
    const env = Object.fromEntries(container!.env.map(({ name, value }) => [name, value]))
    expect(readSettings(env)).toMatchObject({ PORT: 8080, CLEANUP_DAYS: 7, CAPACITY: undefined })
    expect(text).not.toMatch(/runAsUser|fsGroup/)
  })

  it('is what steps ask for by default: its name, its port, its Secret', () => {
    const url = new URL(CONFIGURATION.ARTIFACT_COORDINATOR_URL.default)
    expect([url.hostname, Number(url.port)]).toEqual([COORDINATOR, of('Service').spec.ports[0]!.port])
    expect(of('Service').metadata.name).toBe(COORDINATOR)
    expect(JSON.stringify(of('Deployment'))).toContain(`"secretName":"${SECRETS.COORDINATOR_TOKEN.secret}"`)
    expect(text).not.toContain('kind: Secret')
  })
})

describe('docs/coordinator.md', () => {
  it('has every setting as it is', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/coordinator.md'), 'utf8')
    for (const name of names) {
      const { default: fallback, description } = SETTINGS[name]
      expect(page).toContain(
        `| \`${settingEnv(name)}\` | ${fallback ? `\`${fallback}\`` : 'none'} | ${description} |`,
      )
    }
  })
})
