import { readFile } from 'node:fs/promises'
import { writeWhole } from '../base/files.ts'
import { API_ADDRESS, API_PORT } from './layout.ts'
import { CA, certificate, key } from './pki.ts'

export const API_URL = `https://${API_ADDRESS}:${API_PORT}`

/** Writes a kubeconfig that holds its certificates itself, so that it can be copied into a node. */
export async function writeKubeconfig(identity: string, path: string): Promise<void> {
  const [ca, cert, clientKey] = await Promise.all([CA, certificate(identity), key(identity)].map(base64Of))
  const name = 'tekton-shared-workspace'
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server: API_URL, 'certificate-authority-data': ca } }],
    users: [{ name: identity, user: { 'client-certificate-data': cert, 'client-key-data': clientKey } }],
    contexts: [{ name, context: { cluster: name, user: identity } }],
    'current-context': name,
  }
  // JSON is YAML, and what reads a kubeconfig reads both.
  await writeWhole(path, JSON.stringify(config, null, 2), 0o600)
}

async function base64Of(path: string): Promise<string> {
  return (await readFile(path)).toString('base64')
}
