import { troubles } from '../native/health.ts'
import { kubectl } from '../native/kubectl.ts'
import { readState } from '../native/state.ts'
import { TEKTON_NAMESPACES } from '../tekton/install.ts'

/** Says what runs. @returns the exit code: 0 when all is well. */
export async function status(): Promise<number> {
  const state = await readState()
  if (!state) {
    print('down: no native cluster runs on this machine')
    return 1
  }
  const wrong = await troubles(state)
  if (wrong.length > 0) {
    print(`not well:\n  ${wrong.join('\n  ')}`)
    return 2
  }
  const minutes = Math.round((Date.now() / 1000 - state.startedAt) / 60)
  print(`up for ${minutes} min`)
  for (const { name, pid } of state.processes) print(`  ${String(pid).padStart(7)}  ${name}`)
  print(await kubectl(['get', 'nodes', '--output=wide']))
  for (const namespace of TEKTON_NAMESPACES)
    print(await kubectl(['get', 'pods', `--namespace=${namespace}`, '--output=wide']))
  return 0
}

/** On stdout, since it is what was asked for. */
function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
