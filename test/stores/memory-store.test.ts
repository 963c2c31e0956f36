import { memoryStore } from '../../src/stores/memory-store.ts'
import { storeContract } from './contract.ts'

storeContract('the memory store', async () => memoryStore())
