/** `node store-and-retrieve.ts VOLUME SOURCE TARGET`: stores, retrieves, and prints what it took as JSON. */
import { retrieveArtifacts, storeArtifact } from '../../../src/artifacts/index.ts'
import { opened } from '../../../src/stores/open.ts'
import { volumeArtifacts } from '../../../src/stores/volume-artifacts.ts'
import { ensureVolume } from '../../../src/volume/volume.ts'
import { readIdentity } from '../../../src/identity.ts'

const [root = '', source = '', target = ''] = process.argv.slice(2)
const identity = readIdentity({ POD_NAME: 'build', POD_UID: 'uid-of-build' })
const stores = [opened(volumeArtifacts(await ensureVolume(root, () => {})))]
const common = { stores, identity, emit: () => {}, signal: new AbortController().signal }
const stored = await storeArtifact({ ...common, source, output: 'out', overwrite: false })
const wanted = { artifacts: [`build/out@${stored.digest}`], run: '', files: [], strip: 0, optional: false }
const retrieved = await retrieveArtifacts({ ...common, ...wanted, conflicts: 'fail', target })
const peakMiB = process.resourceUsage().maxRSS / 1024
console.log(JSON.stringify({ files: stored.files, bytes: stored.bytes, retrieved: retrieved.files, peakMiB }))
