import { execa } from 'execa'
import { Problem } from '../base/problem.ts'
import { say } from '../base/progress.ts'
import { isAtLeast, TEKTON_LEAST } from '../base/versions.ts'

const INSTALL = `install Tekton Pipelines ${TEKTON_LEAST} or newer: kubectl apply -f <its release.yaml>, see Tekton's documentation`

/** Checks a cluster that someone else runs, by the caller's own kubectl and KUBECONFIG. Changes nothing. */
export async function checkExisting(): Promise<void> {
  const server = await ask(['version', '--output=json'], 'the API server does not answer')
  const { serverVersion } = JSON.parse(server) as { serverVersion?: { gitVersion?: string } }
  say(`Kubernetes ${serverVersion?.gitVersion ?? 'of unknown version'} answers`)
  const version = await tektonVersion()
  if (!isAtLeast(version, TEKTON_LEAST)) {
    throw new Problem('Tekton is too old', {
      expected: `${TEKTON_LEAST} or newer`,
      found: version,
      fix: INSTALL,
    })
  }
  say(`Tekton ${version} is installed`)
}

/** As Tekton itself publishes it, in whatever namespace it is installed. */
async function tektonVersion(): Promise<string> {
  const selector = 'app.kubernetes.io/part-of=tekton-pipelines,app.kubernetes.io/component=controller'
  const path = '{.items[0].metadata.labels.app\\.kubernetes\\.io/version}'
  const get = ['get', 'deployments', '--all-namespaces', `--selector=${selector}`]
  const names = await ask([...get, '--output=name'], 'the deployments can not be listed')
  if (names.trim() === '')
    throw new Problem('Tekton is not installed', { found: 'no controller of it', fix: INSTALL })
  return (await ask([...get, `--output=jsonpath=${path}`], 'the deployments can not be listed')).trim()
}

async function ask(args: readonly string[], failure: string): Promise<string> {
  const result = await execa('kubectl', [...args, '--request-timeout=15s'], { reject: false })
  if (!result.failed) return result.stdout
  throw new Problem(failure, {
    expected: 'kubectl on the PATH, and KUBECONFIG naming a cluster that runs',
    found: result.stderr || result.shortMessage || 'no answer',
    fix: 'set KUBECONFIG, or start a cluster here: ./run cluster up',
  })
}
