/**
 * Locks that are broken on purpose, to see that a soak finds out. The sources know nothing of it: text of theirs is
 * replaced while they are bundled, and a text that is not there exactly once is an error.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Plugin } from 'esbuild'

export interface Replacement {
  /** Below the project's root. */
  file: string
  from: string
  to: string
}

export const VARIANTS: Readonly<Record<string, readonly Replacement[]>> = {
  'rename-for-symlink': [
    {
      file: 'src/platform/fs.ts',
      from: 'await nodefs.symlink(target, path)',
      to: `const temporary = path.replace(/[^/]+$/, '.tmp-' + Math.random())
        await nodefs.symlink(target, temporary)
        await nodefs.rename(temporary, path)`,
    },
  ],
  'no-epoch-check': [
    {
      file: 'src/volume/fence.ts',
      from: 'if (!newest || newest.epoch <= fence.epoch) return',
      to: 'if (fence) return',
    },
    {
      file: 'src/locks/fence.ts',
      from: 'const state = await store.read()',
      to: 'return; const state = await store.read()',
    },
  ],
  'stat-for-readdir': [
    {
      file: 'src/locks/volume/reader.ts',
      from: 'const listed = await listNumbers(paths.events)',
      to: `const listed = [state.seq]
        const isThere = (seq: number) => fs.lstat(numbered(paths.events, seq)).then(() => true, () => false)
        while (await isThere(listed.at(-1)! + 1)) listed.push(listed.at(-1)! + 1)`,
    },
  ],
  'release-by-anybody': [
    {
      file: 'src/locks/release.ts',
      from: 'if (!owns(identity, hold.request.owner)) throw notHeld(name, wanted, state)',
      to: '',
    },
  ],
  'finished-is-stopped': [
    {
      file: 'src/volume/liveness-kube.ts',
      from: 'return podsGone(kube, owner, others, exceptPod)',
      to: 'return gone(others)',
    },
  ],
  'descriptors-kept-open': [
    {
      file: 'hack/soak/plain.ts',
      from: 'const WIDTH = 40',
      to: 'const WIDTH = 40; const kept = new Map<string, fs.FileHandle>()',
    },
    {
      file: 'hack/soak/plain.ts',
      from: 'const handle = await fs.open(path, constants.O_RDWR | constants.O_CREAT)',
      to: `const handle = kept.get(path) ?? (await fs.open(path, constants.O_RDWR | constants.O_CREAT))
        kept.set(path, handle)`,
    },
    { file: 'hack/soak/plain.ts', from: 'await handle.close()', to: '' },
  ],
}

/** Replaces the texts of a variant in what is bundled. */
export function variantPlugin(root: string, replacements: readonly Replacement[]): Plugin {
  return {
    name: 'variant',
    setup(build) {
      for (const [file, its] of Map.groupBy(replacements, (one) => one.file)) {
        const path = join(root, file)
        build.onLoad({ filter: new RegExp(`^${path.replaceAll('.', '\\.')}$`) }, async () => {
          const source = await readFile(path, 'utf8')
          return { loader: 'ts', contents: its.reduce(replaceOnce, source) }
        })
      }
    },
  }
}

/** @throws where `from` is not there, or more than once. */
export function replaceOnce(source: string, { file, from, to }: Replacement): string {
  const parts = source.split(from)
  if (parts.length !== 2)
    throw new Error(`expected once in ${file}, found ${parts.length - 1} times: ${from}`)
  return parts.join(to)
}
