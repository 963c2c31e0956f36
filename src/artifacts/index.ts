/** What the rest of the product may use of artifacts. */
export { contentDigestOf } from './content-digest.ts'
export { retrieveArtifacts, type Retrieved, type RetrieveRequest } from './retrieve.ts'
export { resolvePath } from './resolve-path.ts'
export { storeArtifact, type StoredArtifact, type StoreRequest } from './store.ts'
