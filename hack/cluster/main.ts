import { KUBECONFIG } from './base/paths.ts'
import { runVerb, type Verbs } from './base/verb.ts'
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

const VERBS: Verbs = {
  build: async () => void (await build()),
  up,
  status,
  'load-image': loadImage,
  kubeconfig: async () => void process.stdout.write(`${KUBECONFIG}\n`),
  down,
}

process.exitCode = await runVerb('cluster', USAGE, VERBS, process.argv.slice(2))
