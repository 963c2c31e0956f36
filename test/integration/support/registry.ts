/** A real OCI registry for tests: crane's own, in memory. */
import { programPath } from '../../../hack/programs/programs.ts'
import { startServer, type Server } from './server.ts'

/** Starts a registry at `address`, spoken to without TLS. */
export const startRegistry = (): Promise<Server> =>
  startServer(programPath('crane'), (address) => ['registry', 'serve', '--address', address])
