import { describe, expect, it } from 'vitest'
import {
  CONFIGURATION,
  fromConfigMap,
  readConfiguration,
  settingName,
  type ConfigurationName,
} from '../src/configuration.ts'

function read(env: Record<string, string>) {
  const problems: string[] = []
  return { configuration: readConfiguration(env, (problem) => problems.push(problem)), problems }
}

describe('the configuration', () => {
  it('has defaults for everything, none of which is a problem', () => {
    const { configuration, problems } = read({})
    expect(problems).toEqual([])
    expect(configuration).toMatchObject({
      ARTIFACT_STRATEGY: ['pvc'],
      ARTIFACT_CLEANUP_DAYS: 7,
      ARTIFACT_S3_ENDPOINT: undefined,
      ARTIFACT_S3_PATH_STYLE: undefined,
      S3_ACCESS_KEY_ID: undefined,
    })
  })

  it('takes the environment before the ConfigMap, and that before the default', () => {
    const map = { CONFIG_ARTIFACT_STRATEGY: 's3,pvc' }
    expect(read(map).configuration.ARTIFACT_STRATEGY).toEqual(['s3', 'pvc'])
    const both = { ...map, SHARED_WORKSPACE_ARTIFACT_STRATEGY: 'coordinator' }
    expect(read(both).configuration.ARTIFACT_STRATEGY).toEqual(['coordinator'])
    const empty = { ...map, SHARED_WORKSPACE_ARTIFACT_STRATEGY: '' }
    expect(read(empty).configuration.ARTIFACT_STRATEGY).toEqual(['s3', 'pvc'])
  })

  it.each<[ConfigurationName, string]>([
    ['ARTIFACT_STRATEGY', 'nfs'],
    ['ARTIFACT_STRATEGY', 'pvc,pvc'],
    ['ARTIFACT_STRATEGY', ','],
    ['ARTIFACT_CLEANUP_DAYS', '0'],
    ['ARTIFACT_CLEANUP_DAYS', '7d'],
    ['ARTIFACT_S3_ENDPOINT', 'minio:9000'],
    ['ARTIFACT_S3_ENDPOINT', 'file:///etc'],
    ['ARTIFACT_S3_PATH_STYLE', 'yes'],
  ])('says where %s = %j came from, and what was expected', (name, value) => {
    expect(read({ [settingName(name)]: value }).problems).toEqual([
      expect.stringMatching(
        new RegExp(`^${settingName(name)} in the environment: expected .*, found "${value}"$`),
      ),
    ])
    expect(read({ [fromConfigMap(name)]: value }).problems[0]).toContain('the ConfigMap shared-workspace')
  })

  it('never shows a secret', () => {
    const { problems } = read({ S3_SECRET_ACCESS_KEY: 'topsecret', SHARED_WORKSPACE_ARTIFACT_STRATEGY: 'x' })
    expect(JSON.stringify(problems)).not.toContain('topsecret')
  })

  it('describes every setting', () => {
    for (const { description } of Object.values(CONFIGURATION)) expect(description).toMatch(/\.$/)
  })
})
