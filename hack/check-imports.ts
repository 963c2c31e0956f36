/** The import-direction rule: dependencies point one way, and only src/platform touches the machine. */
import { readdir, readFile } from 'node:fs/promises'
import { dirname, join, normalize } from 'node:path'

/** What each folder of src may import beside itself and the files right under src. */
const MAY_IMPORT: Record<string, string[]> = {
  platform: [],
  volume: ['platform'],
  stores: ['platform', 'volume'],
  artifacts: ['platform', 'volume', 'stores'],
  cache: ['platform', 'volume', 'stores', 'artifacts'],
  locks: ['platform', 'volume'],
  tools: ['platform', 'volume', 'locks', 'artifacts'],
  upgrades: ['platform', 'volume', 'locks', 'tools'],
  'tool-agent': ['platform', 'volume', 'locks', 'tools', 'upgrades'],
  retention: ['platform', 'volume', 'stores', 'artifacts', 'upgrades'],
  coordinator: ['platform', 'volume', 'stores', 'retention'],
  'probe-locks': ['platform', 'volume'],
  steps: ['platform', 'volume', 'stores', 'artifacts', 'cache', 'locks', 'tools', 'upgrades', 'retention'],
  catalog: ['steps', 'coordinator', 'probe-locks', 'tool-agent'],
  local: ['platform', 'volume', 'catalog'],
}
/** Files of the machine; everybody else goes through src/platform. */
const MACHINE = /^(node:)?(fs|child_process|os|process|timers|worker_threads)(\/|$)|^fs-ext$|^@kubernetes\//

const root = join(import.meta.dirname, '..', 'src')
const violations: string[] = []
for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith('.ts')) continue
  const file = join(entry.parentPath, entry.name).slice(root.length + 1)
  const text = await readFile(join(root, file), 'utf8')
  for (const [, target = ''] of text.matchAll(
    /^(?:import|export)\b[^'"\n]*(?:\{[^}]*\})?[^'"\n]*['"]([^'"]+)['"]/gm,
  )) {
    const problem = check(file, target)
    if (problem) violations.push(`src/${file} imports ${target}: ${problem}`)
  }
  if (!file.startsWith('platform/') && /\bprocess\.(env|argv|exit|stdout|kill|on)\b/.test(text)) {
    violations.push(`src/${file} uses process: go through src/platform/host.ts`)
  }
}
for (const violation of violations) console.error(violation)
process.exitCode = violations.length > 0 ? 1 : 0

function check(file: string, target: string): string | undefined {
  const from = file.includes('/') ? file.split('/')[0]! : ''
  if (!target.startsWith('.')) {
    return MACHINE.test(target) && from !== 'platform' ? 'only src/platform touches the machine' : undefined
  }
  const path = normalize(join(dirname(file), target))
  const to = path.includes('/') ? path.split('/')[0]! : ''
  if (from === 'catalog' && to !== 'catalog' && to !== '' && !path.endsWith('/contract.ts'))
    return 'the catalog reads contracts only'
  if (to === from || to === '') return undefined
  if (from === '') return to === 'platform' ? undefined : 'the files right under src import src/platform only'
  return MAY_IMPORT[from]?.includes(to)
    ? undefined
    : `${from} may import ${MAY_IMPORT[from]?.join(', ') || 'nothing'}`
}
