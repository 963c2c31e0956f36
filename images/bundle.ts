/** Bundles every step program to one ES module; what they share, and what is loaded late, lies in chunks beside. */
import { build } from 'esbuild'
import { join } from 'node:path'
import { CONTRACTS } from '../src/catalog/contracts.ts'

const root = join(import.meta.dirname, '..')

/** Writes `<out>/<step>.mjs` for every step. */
export async function bundle(out: string): Promise<void> {
  await build({
    entryPoints: CONTRACTS.map(({ name }) => ({ in: join(root, 'src/steps', name, 'main.ts'), out: name })),
    outdir: out,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    minify: true,
    // Names in stack traces are worth their bytes.
    keepNames: true,
    // The addon lies beside, in node_modules.
    external: ['fs-ext'],
    // Some dependencies are CommonJS and call require.
    banner: {
      js: "import { createRequire as __require } from 'node:module'; const require = __require(import.meta.url);",
    },
    logLevel: 'warning',
  })
}
