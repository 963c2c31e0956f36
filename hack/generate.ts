/**
 * `./run generate` writes every generated file; `-- --check` compares and says how to mend;
 * `-- --out DIR --image REF --claim NAME --size 10Gi --storage-class NAME --fs-group GID` writes an installation of
 * one's own; SHARED_WORKSPACE_ARTIFACT_PVC, _SIZE and _STORAGE_CLASS stand for three of these.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { CONTRACTS } from '../src/catalog/contracts.ts'
import { GENERATED_FOLDERS, generatedFiles } from '../src/catalog/files.ts'
import { configurationTable, exitCodeTable, stepTable } from '../src/catalog/readme.ts'
import { DEFAULTS, type Settings } from '../src/catalog/settings.ts'

const root = join(import.meta.dirname, '..')
const { values } = parseArgs({
  args: process.argv.slice(2).filter((arg) => arg !== '--'),
  options: {
    check: { type: 'boolean' },
    out: { type: 'string' },
    image: { type: 'string' },
    claim: { type: 'string' },
    size: { type: 'string' },
    'storage-class': { type: 'string' },
    'fs-group': { type: 'string' },
  },
})
const given = Object.keys(values).filter((name) => !['check', 'out'].includes(name))
const env = (name: string): string | undefined =>
  process.env[`SHARED_WORKSPACE_ARTIFACT_${name}`] || undefined
const own: Settings = {
  image: values.image ?? DEFAULTS.image,
  claim: values.claim ?? env('PVC') ?? DEFAULTS.claim,
  size: values.size ?? env('SIZE') ?? DEFAULTS.size,
  storageClass: values['storage-class'] ?? env('STORAGE_CLASS') ?? DEFAULTS.storageClass,
  fsGroup: values['fs-group'] ?? DEFAULTS.fsGroup,
}

if (given.length > 0 && !values.out) {
  refuse(`--${given.join(', --')} need --out DIR: the checked-in files keep the defaults`)
} else if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(own.claim)) {
  refuse(`expected the name of a claim (lower case letters, digits, "-" and "."), found ${own.claim}`)
} else if (!/^\d+(\.\d+)?([EPTGMk]|[EPTGMK]i)?$/.test(own.size)) {
  refuse(`expected a size as Kubernetes writes it, such as 10Gi, found ${own.size}`)
} else if (values.out) {
  await write(values.out, generatedFiles(own))
  console.log(
    `generate: wrote ${values.out}; install it with: kubectl apply -f ${join(values.out, 'maintenance/install.yaml')}`,
  )
} else {
  const files = generatedFiles(DEFAULTS)
  files.set('README.md', await readmeWithTables())
  const stale = await differences(files)
  if (values.check) report(stale)
  else {
    for (const path of stale) if (!files.has(path)) await rm(join(root, path))
    await write(root, files)
    console.log(`generate: ${files.size} files, ${stale.length} changed`)
  }
}

/** The main README with its generated tables renewed; everything between them is written by hand. */
async function readmeWithTables(): Promise<string> {
  const tables: Record<string, string> = {
    steps: stepTable(CONTRACTS),
    configuration: configurationTable(),
    'exit-codes': exitCodeTable(),
  }
  const text = await readFile(join(root, 'README.md'), 'utf8')
  return text.replace(
    /(<!-- generated: (\S+) -->\n)[\s\S]*?(\n<!-- end -->)/g,
    (_, start: string, name: string, end: string) => {
      const table = tables[name]
      if (table === undefined)
        throw new Error(`README.md asks for the table ${name}; there are ${Object.keys(tables).join(', ')}`)
      return start + table + end
    },
  )
}

async function write(folder: string, files: Map<string, string>): Promise<void> {
  for (const [path, content] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), content)
  }
}

/** Paths whose file is missing, differs, or should not be there. */
async function differences(files: Map<string, string>): Promise<string[]> {
  const stale: string[] = []
  for (const [path, content] of files) {
    if ((await readFile(join(root, path), 'utf8').catch(() => undefined)) !== content) stale.push(path)
  }
  for (const folder of GENERATED_FOLDERS) {
    const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true }).catch(
      () => [],
    )
    for (const entry of entries) {
      const path = relative(root, join(entry.parentPath, entry.name))
      if (entry.isFile() && !files.has(path)) stale.push(path)
    }
  }
  return stale
}

function refuse(why: string): void {
  console.error(`generate: ${why}`)
  process.exitCode = 64
}

function report(stale: string[]): void {
  if (stale.length === 0) return console.log('generate: everything is as the contracts say')
  console.error(`generate: ${stale.length} files are not what the contracts say:`)
  for (const path of stale) console.error(`  ${path}`)
  console.error('generate: mend it with: ./run generate')
  process.exitCode = 1
}
