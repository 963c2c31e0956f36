/**
 * Bundles every program (the steps', the coordinator, the probe, the agent) by itself, so that it starts from a few
 * files: what programs share would lie in two dozen chunks, and each of them takes half a millisecond to load.
 */
import { build, type BuildOptions, type Plugin } from 'esbuild'
import { join } from 'node:path'
import { CONTRACTS } from '../src/catalog/contracts.ts'

const root = join(import.meta.dirname, '..')

/** How every program of ours is bundled. */
export const BUNDLING = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  // The addon lies beside, in node_modules.
  external: ['fs-ext'],
  // Some dependencies are CommonJS and call require.
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
  logLevel: 'warning',
} as const satisfies BuildOptions

/** By their names in the image, `<name>.mjs`. */
const PROGRAMS: Record<string, string> = {
  ...Object.fromEntries(CONTRACTS.map(({ name }) => [name, `src/steps/${name}/main.ts`])),
  coordinator: 'src/coordinator/main.ts',
  'probe-locks': 'src/probe-locks/main.ts',
  'tool-agent': 'src/tool-agent/main.ts',
}

const KUBERNETES = '@kubernetes/client-node'
/** It is as large as everything else and loaded late: once for all. */
const shareKubernetes: Plugin = {
  name: 'share-kubernetes',
  setup(building) {
    building.onResolve({ filter: new RegExp(`^${KUBERNETES}$`) }, ({ kind }) =>
      kind === 'entry-point' ? undefined : { path: './kubernetes-client.mjs', external: true },
    )
  },
}

/** Writes `<out>/<program>.mjs` for each, with its own chunks for what it loads late, and what all share. */
export async function bundle(out: string): Promise<void> {
  const write = (name: string, from: string): Promise<unknown> =>
    build({
      ...BUNDLING,
      entryPoints: [{ in: from, out: name }],
      chunkNames: `${name}.[name]-[hash]`,
      outdir: out,
      outExtension: { '.js': '.mjs' },
      plugins: [shareKubernetes],
      splitting: true,
      minifySyntax: true,
      minifyWhitespace: true,
      // Identifiers stay for the sake of stack traces; esbuild's keepNames would cost time at every start.
    })
  await Promise.all([
    write('kubernetes-client', KUBERNETES),
    ...Object.entries(PROGRAMS).map(([name, file]) => write(name, join(root, file))),
  ])
}
