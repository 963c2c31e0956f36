import { runVerb, type Verbs } from '../cluster/base/verb.ts'
import { up as cephUp } from './ceph/up.ts'
import { down, status } from './verbs.ts'

const USAGE = `usage: ./run filesystem <kind> <verb>

  ceph up [--no-page-cache] [--stock-tick]
                 start a CephFS on this machine and mount it by two clients; prints their folders
                 --no-page-cache: clients as coherent as the kernel's, for files held open on both
                 --stock-tick: new names take up to 5 s to be seen by the other client, as they do in the wild
  ceph status    say what runs; the exit code is 0 when it is up
  ceph down      end it and remove everything of it`

/** The file systems that can be had here. What they share is in verbs.ts. */
const KINDS: Readonly<Record<string, Verbs>> = {
  ceph: { up: cephUp, status: () => status('ceph'), down: () => down('ceph') },
}

const [kind = '', ...args] = process.argv.slice(2)
process.exitCode = await runVerb('filesystem', USAGE, KINDS[kind] ?? {}, args)
