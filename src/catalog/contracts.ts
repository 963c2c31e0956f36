/** Every step of the product; what is not listed here does not exist. */
import type { StepContract } from '../contract.ts'
import { contract as artifactRetrieve } from '../steps/artifact-retrieve/contract.ts'
import { contract as artifactStore } from '../steps/artifact-store/contract.ts'
import { contract as cacheRestore } from '../steps/cache-restore/contract.ts'
import { contract as cacheSave } from '../steps/cache-save/contract.ts'
import { contract as lockAcquire } from '../steps/lock-acquire/contract.ts'
import { contract as lockRelease } from '../steps/lock-release/contract.ts'
import { contract as toolUpgrade } from '../steps/tool-upgrade/contract.ts'
import { contract as toolInstall } from '../steps/tool-install/contract.ts'
import { contract as withLock } from '../steps/with-lock/contract.ts'
import { contract as workspaceArchive } from '../steps/workspace-archive/contract.ts'
import { contract as workspaceCleanup } from '../steps/workspace-cleanup/contract.ts'
import { contract as workspaceInit } from '../steps/workspace-init/contract.ts'
import { contract as workspaceStatus } from '../steps/workspace-status/contract.ts'

export const CONTRACTS: readonly StepContract[] = [
  workspaceInit,
  artifactStore,
  artifactRetrieve,
  cacheRestore,
  cacheSave,
  lockAcquire,
  lockRelease,
  withLock,
  toolInstall,
  toolUpgrade,
  workspaceStatus,
  workspaceArchive,
  workspaceCleanup,
]
