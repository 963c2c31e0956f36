/** Finds and reads Tekton's objects: in the files given, then in a folder laid out as a catalog. */
import { join } from 'node:path'
import { list } from '../platform/fs.ts'
import { Documents, type Document, type Kind, type Ref } from './schema.ts'
import type { Report } from './variables.ts'
import { loadYaml } from './yaml.ts'

type DocumentOf<K extends Kind> = Extract<Document, { kind: K }>

const FOLDERS = { Task: 'tasks', StepAction: 'stepactions', Pipeline: 'pipelines' } as const
type Referable = keyof typeof FOLDERS

export class Catalog {
  readonly #folder: string
  readonly #report: Report
  readonly #found = new Map<string, Document | undefined>()

  /** `folder` holds tasks/, stepactions/ and pipelines/. */
  constructor(folder: string, report: Report) {
    this.#folder = folder
    this.#report = report
  }

  /** Reads a file; what it holds is found before what the folder holds. */
  async read(file: string): Promise<Document[]> {
    const documents = (await loadYaml(file)).flatMap((raw) => this.#parse(file, raw) ?? [])
    for (const document of documents) this.#found.set(keyOf(document.kind, document.metadata.name), document)
    return documents
  }

  /** @returns undefined where there is none, after reporting it. */
  async find<K extends Referable>(kind: K, name: string, where: string): Promise<DocumentOf<K> | undefined> {
    const key = keyOf(kind, name)
    if (!this.#found.has(key)) {
      const folder = join(this.#folder, FOLDERS[kind], name)
      const versions = (await list(folder)).filter((entry) => entry.isDirectory()).map((entry) => entry.name)
      const newest = versions.sort(byVersion).at(-1)
      const isName = /^[a-z0-9][a-z0-9.-]*$/.test(name)
      if (!isName || newest === undefined) {
        this.#report(where, `no ${kind} ${JSON.stringify(name)} in this file or in ${folder}/<version>/`)
        return undefined
      }
      this.#found.set(key, undefined)
      await this.read(join(folder, newest, `${name}.yaml`))
    }
    return this.#found.get(key) as DocumentOf<K> | undefined
  }

  /** As `find`, by a taskRef or a step's ref; the resolver "cluster" says the name in its params. */
  async resolve<K extends Referable>(kind: K, ref: Ref, where: string): Promise<DocumentOf<K> | undefined> {
    const params = Object.fromEntries((ref.params ?? []).map((param) => [param.name, param.value]))
    const name = ref.resolver ? params['name'] : ref.name
    const other = ref.resolver && params['kind'] !== undefined && params['kind'] !== kind.toLowerCase()
    if (typeof name === 'string' && !other) return this.find(kind, name, where)
    this.#report(
      where,
      other
        ? `expected kind ${kind.toLowerCase()}, found ${JSON.stringify(params['kind'])}`
        : 'the name is missing',
    )
    return undefined
  }

  #parse(file: string, raw: unknown): Document | undefined {
    const kind = typeof raw === 'object' && raw !== null && 'kind' in raw ? String(raw.kind) : ''
    if (!Object.hasOwn(Documents, kind)) {
      this.#report(
        file,
        `expected a ${Object.keys(Documents).join(', ')}, found the kind ${JSON.stringify(kind)}`,
      )
      return undefined
    }
    const parsed = Documents[kind as Kind].safeParse(raw)
    if (parsed.success) return parsed.data
    for (const issue of parsed.error.issues) {
      const path = fieldPath(issue.path)
      if (issue.code !== 'unrecognized_keys') this.#report(`${file}: ${path}`, issue.message)
      else
        for (const key of issue.keys)
          this.#report(`${file}: ${path}.${key}`, 'not supported by the local runner')
    }
    return undefined
  }
}

const keyOf = (kind: string, name = ''): string => `${kind}/${name}`

const fieldPath = (path: readonly PropertyKey[]): string =>
  path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${String(key)}`)).join('')

/** 0.10 after 0.9. */
const byVersion = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true })
