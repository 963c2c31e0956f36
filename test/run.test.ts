import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, it } from 'vitest'

const run = (...args: string[]) =>
  execa(join(import.meta.dirname, '../run'), args, { cwd: tmpdir(), reject: false })

it('./run says what there is to run', async () => {
  expect(await run()).toMatchObject({
    exitCode: 64,
    stderr: expect.stringContaining('demo, test, integration, e2e'),
  })
  expect(await run('nope')).toMatchObject({ exitCode: 64, stderr: expect.stringContaining('found nope') })
})

it('./run hands on arguments and the exit code, from any folder', async () => {
  expect(await run('generate', '--', '--check')).toMatchObject({ exitCode: 0 })
  expect(await run('generate', '--image', "it's $(x)")).toMatchObject({ exitCode: 64 })
  const unknown = await run('pipeline', 'no such "pipeline"')
  expect(unknown).toMatchObject({ exitCode: 64, stdout: expect.stringContaining('no such \\"pipeline\\"') })
})
