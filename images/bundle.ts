/** Bundles every program (the steps', the coordinator, the probe, the agent) to one ES module; what they share, and what is loaded late, lies in chunks beside. */
import { build, type BuildOptions } from 'esbuild'
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

/** Writes `<out>/<step>.mjs` for every step, `<out>/coordinator.mjs`, `<out>/probe-locks.mjs` and `<out>/tool-agent.mjs`. */
export async function bundle(out: string): Promise<void> {
  await build({
    ...BUNDLING,
    entryPoints: [
      ...CONTRACTS.map(({ name }) => ({ in: join(root, 'src/steps', name, 'main.ts'), out: name })),
      { in: join(root, 'src/coordinator/main.ts'), out: 'coordinator' },
      { in: join(root, 'src/probe-locks/main.ts'), out: 'probe-locks' },
      { in: join(root, 'src/tool-agent/main.ts'), out: 'tool-agent' },
    ],
    outdir: out,
    outExtension: { '.js': '.mjs' },
    splitting: true,
    minifySyntax: true,
    minifyWhitespace: true,
    // Identifiers stay for the sake of stack traces; esbuild's keepNames would cost time at every start.
  })
}
