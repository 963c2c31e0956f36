import { KUBECONFIG } from './base/paths.ts'
import { Problem } from './base/problem.ts'
import { build } from './verbs/build.ts'
import { down } from './verbs/down.ts'
import { loadImage } from './verbs/load-image.ts'
import { status } from './verbs/status.ts'
import { up } from './verbs/up.ts'

const USAGE = `usage: ./run cluster <verb>

  build                     build what a native cluster needs into the user's cache folder
  up [--provider native|existing] [--nodes 1|2]
                            start a cluster, or check the one that KUBECONFIG names
  status                    say what runs; the exit code is 0 when it is up
  load-image <archive> ...  import docker archives into every node
  kubeconfig                print the path of the kubeconfig
  down                      end the cluster and remove everything of it`

const VERBS: Readonly<Record<string, (args: string[]) => Promise<number | void>>> = {
  build: async () => void (await build()),
  up,
  status,
  'load-image': loadImage,
  kubeconfig: async () => void process.stdout.write(`${KUBECONFIG}\n`),
  down,
}

async function main([verb = '', ...args]: string[]): Promise<number> {
  const run = VERBS[verb]
  if (!run) {
    console.error(USAGE)
    return 64
  }
  try {
    return (await run(args)) ?? 0
  } catch (error) {
    if (isUsageError(error)) {
      console.error(`cluster: ${error.message}\n${USAGE}`)
      return 64
    }
    const stack = error instanceof Error ? error.stack : undefined
    console.error(error instanceof Problem ? `cluster: ${error.text}` : (stack ?? error))
    return 1
  }
}

/** What parseArgs throws for an option that it doesn't know. */
function isUsageError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
}

process.exitCode = await main(process.argv.slice(2))
