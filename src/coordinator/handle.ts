/** From a request to its route: who asks, what for, and what becomes of a failure. */
import type { Emit } from '../events.ts'
import type { IncomingMessage, ServerResponse } from '../platform/http-server.ts'
import type { Access } from './access.ts'
import { answer, refuse } from './answer.ts'
import { Refusal, refusalOf } from './refusal.ts'
import { ROUTES, type Kept } from './routes.ts'

export interface Handling {
  kept: Kept
  access: Access
  /** Why it cannot serve now; undefined where it can. */
  unready: () => Promise<string | undefined>
  emit: Emit
}

/** Statuses that are a part of the conversation, and no news. */
const EXPECTED = [404, 409, 416]

export function handler({ kept, access, unready, emit }: Handling) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    const handle = async (): Promise<void> => {
      const [path = '', query] = (request.url ?? '').split('?')
      if (path === '/healthz') return answer({ response }, 200, { status: 'ok' })
      if (path === '/readyz') {
        const why = await unready()
        return answer({ response }, why ? 503 : 200, { status: why ?? 'ok' })
      }
      if (!(await access(request.headers.authorization)))
        throw new Refusal(401, 'expected a token of this coordinator', { 'www-authenticate': 'Bearer' })
      const [kind = '', ...names] = namesOf(path)
      const route = Object.hasOwn(ROUTES, kind) ? ROUTES[kind]! : {}
      const work = Object.hasOwn(route, request.method ?? '') ? route[request.method!] : undefined
      if (!work) throw new Refusal(Object.keys(route).length > 0 ? 405 : 404, 'there is nothing here')
      await work(kept, { request, response, names, query: new URLSearchParams(query) })
    }
    handle().catch((error: unknown) => {
      const status = refuse({ request, response }, error)
      if (status === undefined || EXPECTED.includes(status)) return
      const { method = '', url = '' } = request
      const why = refusalOf(error).body.message
      emit({ event: 'request-refused', method, url: url.slice(0, 200), status, why })
    })
  }
}

/** The decoded names of `/v1/<kind>/<name>/…`. @throws Refusal 404, 400 */
function namesOf(path: string): string[] {
  const [empty, version, ...names] = path.split('/')
  if (empty !== '' || version !== 'v1') throw new Refusal(404, 'there is nothing here')
  try {
    return names.map(decodeURIComponent)
  } catch {
    throw new Refusal(400, 'the path is not percent-encoded as it should be')
  }
}
