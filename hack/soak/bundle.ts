/** Bundles what a soak consists of, so that a process starts fast and a soak can be carried to another machine. */
import { access, cp, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { BUNDLING } from '../../images/bundle.ts'
import { VARIANTS, variantPlugin } from './variants.ts'

const root = join(import.meta.dirname, '../..')

/** Writes `<out>/soak.mjs` and `<out>/worker.mjs`, with the addon for flock beside them where it was compiled. */
export async function bundle(out: string, variant?: string): Promise<void> {
  await build({
    ...BUNDLING,
    entryPoints: [
      { in: join(import.meta.dirname, 'worker.ts'), out: 'worker' },
      { in: join(import.meta.dirname, 'bundled.ts'), out: 'soak' },
    ],
    outdir: out,
    outExtension: { '.js': '.mjs' },
    // What is loaded late, as the client of the Kubernetes API, lies beside: processes start often.
    splitting: true,
    plugins: variant === undefined ? [] : [variantPlugin(root, VARIANTS[variant]!)],
  })
  for (const file of ['package.json', 'fs-ext.js', 'build/Release/fs_ext.node']) {
    const [from, to] = [join(root, 'node_modules/fs-ext', file), join(out, 'node_modules/fs-ext', file)]
    if (!(await isThere(from))) continue
    await mkdir(dirname(to), { recursive: true })
    await cp(from, to)
  }
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
