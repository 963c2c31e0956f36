import { clientOf, startCoordinatorProcess } from '../coordinator/support.ts'
import { artifactStoreContract } from './contract.ts'

artifactStoreContract('the coordinator', async () => {
  const store = clientOf((await startCoordinatorProcess()).url)
  return { store, nameRun: (run) => store.nameRun(run) }
})
