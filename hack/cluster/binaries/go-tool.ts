import { execa } from 'execa'
import { Problem } from '../base/problem.ts'
import { GO_LEAST, isAtLeast } from '../base/versions.ts'

const fix = `install Go ${GO_LEAST} or newer and put it on the PATH`

/** Refuses to start a long build that the Go at hand can't end. */
export async function requireGo(): Promise<void> {
  const result = await execa('go', ['env', 'GOVERSION'], { reject: false })
  const version = result.failed ? '' : result.stdout.trim().replace(/^go/, '')
  if (!version)
    throw new Problem('Go is needed for the build', { expected: 'go on the PATH', found: 'none', fix })
  if (!isAtLeast(version, GO_LEAST))
    throw new Problem('Go is too old for the build', {
      expected: `${GO_LEAST} or newer`,
      found: version,
      fix,
    })
}

/** The folder of a module that a go.mod of ours requires; downloads it if need be. */
export async function moduleFolder(ourModule: string, path: string): Promise<string> {
  const options = { cwd: ourModule, env: { GOWORK: 'off' } }
  await execa('go', ['mod', 'download', path], options)
  const { stdout } = await execa('go', ['list', '-m', '-f', '{{.Dir}}', path], options)
  return stdout.trim()
}
