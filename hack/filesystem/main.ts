import { runVerb, type Verbs } from '../cluster/base/verb.ts'
import { nodes as cephNodes } from './ceph/nodes.ts'
import { up as cephUp } from './ceph/up.ts'
import { build as nfsBuild } from './nfs/build.ts'
import { run as nfsRun } from './nfs/run.ts'
import { down, status } from './verbs.ts'

const USAGE = `usage: ./run filesystem <kind> <verb>

  ceph up [--no-page-cache] [--stock-tick]
                 start a CephFS on this machine and mount it by two clients; prints their folders
                 --no-page-cache: clients as coherent as the kernel's, for files held open on both
                 --stock-tick: new names take up to 5 s to be seen by the other client, as they do in the wild
  ceph nodes     mount it on each node of ./run cluster up, at one path, by a client of the node's own; prints the path;
                 again after a client was killed
  ceph status    say what runs; the exit code is 0 when it is up
  ceph down      end it and remove everything of it

  nfs build      bring what a small machine with an NFSv4.1 server needs into the cache; run does that too
  nfs run [--timeout 10m] [--lease 15] -- FOLDER COMMAND...
                 run a command in a copy of FOLDER, in such a machine with two clients, on its own Node: their mounts
                 are $MOUNT_A and $MOUNT_B, and FOLDER/out comes back; the exit code is the command's, 124 after the
                 timeout. "cut-network a" and "heal-network a" in there part client a (or b) from the server
                 --lease: seconds after which the server gives a client up, and its grace period`

/** The file systems that can be had here. What those that stay up share is in verbs.ts. */
const KINDS: Readonly<Record<string, Verbs>> = {
  ceph: { up: cephUp, nodes: cephNodes, status: () => status('ceph'), down: () => down('ceph') },
  nfs: { build: async () => void (await nfsBuild()), run: nfsRun },
}

const [kind = '', ...args] = process.argv.slice(2)
process.exitCode = await runVerb('filesystem', USAGE, KINDS[kind] ?? {}, args)
