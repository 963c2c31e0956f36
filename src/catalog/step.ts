/** What Task and StepAction share: the container of a step, from its contract. */
import {
  paramEnv,
  resultEnv,
  stepCommand,
  workspaceEnv,
  workspaceParam,
  type ParamDefinition,
  type StepContract,
} from '../contract.ts'
import {
  CONFIG_MAP,
  CONFIGURATION,
  fromConfigMap,
  SECRETS,
  settingName,
  type ConfigurationName,
  type SecretName,
} from '../configuration.ts'
import { CHANGE_ENV } from '../change.ts'
import { IDENTITY_ENV } from '../identity.ts'
import type { Settings } from './settings.ts'

export type Form = 'task' | 'stepAction'

/** Meets the restricted Pod Security Standard; which user runs is the pod's to say. */
export const SECURITY_CONTEXT = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  readOnlyRootFilesystem: true,
  seccompProfile: { type: 'RuntimeDefault' },
}

type KeyRef = { name: string; key: string; optional: true }
type EnvVar = {
  name: string
  value?: string
  valueFrom?: { fieldRef: { fieldPath: string } } | { configMapKeyRef: KeyRef } | { secretKeyRef: KeyRef }
}

/** The downward API's part of the environment: who runs is never a parameter. */
export const identityEnv = (): EnvVar[] => fieldEnv(IDENTITY_ENV)

const fieldEnv = (fields: Record<string, string>): EnvVar[] =>
  Object.entries(fields).map(([name, fieldPath]) => ({ name, valueFrom: { fieldRef: { fieldPath } } }))

/** The namespace's configuration and Secrets, as far as a step takes them. None of them has to exist. */
export const configurationEnv = ({ configuration = [] }: StepContract): EnvVar[] =>
  configuration.map((name) => {
    if (isSetting(name)) {
      const ref: KeyRef = { name: CONFIG_MAP, key: settingName(name), optional: true }
      return { name: fromConfigMap(name), valueFrom: { configMapKeyRef: ref } }
    }
    const { secret, key } = SECRETS[name]
    return { name, valueFrom: { secretKeyRef: { name: secret, key, optional: true } } }
  })

const isSetting = (name: ConfigurationName | SecretName): name is ConfigurationName => name in CONFIGURATION

/** The container: values travel by env, an array parameter by args, never inside a script. */
export function stepContainer(contract: StepContract, form: Form, { image }: Settings) {
  const array = Object.entries(contract.params).find(([, definition]) => definition.type === 'array')
  return {
    image,
    command: stepCommand(contract.name),
    ...(array ? { args: [`$(params.${array[0]}[*])`] } : {}),
    env: [
      ...Object.entries(contract.params)
        .filter(([, definition]) => definition.type === 'string')
        .map(([name]): EnvVar => ({ name: paramEnv(name), value: `$(params.${name})` })),
      ...Object.keys(contract.workspaces).map((name): EnvVar => ({
        name: workspaceEnv(name),
        value: form === 'task' ? `$(workspaces.${name}.path)` : `$(params.${workspaceParam(name)})`,
      })),
      ...Object.keys(contract.results).map((name): EnvVar => ({
        name: resultEnv(name),
        value: form === 'task' ? `$(results.${name}.path)` : `$(step.results.${name}.path)`,
      })),
      ...configurationEnv(contract),
      ...identityEnv(),
      ...(contract.change ? fieldEnv(CHANGE_ENV) : []),
    ],
    securityContext: SECURITY_CONTEXT,
  }
}

export function stepParams(contract: StepContract, form: Form) {
  return Object.entries(contract.params).map(([name, definition]) => {
    const fallback = defaultOf(definition, form)
    return {
      name,
      type: definition.type,
      description: definition.description,
      ...(fallback === undefined ? {} : { default: fallback }),
    }
  })
}

/** The default in one form, or undefined where the parameter is required. */
export function defaultOf(definition: ParamDefinition, form: Form): string | string[] | undefined {
  const fallback = definition.default
  return typeof fallback === 'object' && !Array.isArray(fallback) ? fallback[form] : fallback
}

export function stepResults(contract: StepContract) {
  return Object.entries(contract.results).map(([name, { description, properties }]) => ({
    name,
    description,
    ...(properties
      ? { type: 'object', properties: Object.fromEntries(properties.map((key) => [key, { type: 'string' }])) }
      : { type: 'string' }),
  }))
}
