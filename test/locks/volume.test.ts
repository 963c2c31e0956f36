import { volumeLocks } from '../../src/locks/index.ts'
import { openVolume } from '../../src/volume/volume.ts'
import { locksContract } from './contract.ts'
import { FAST, newVolume } from './support.ts'

locksContract('on a volume', async () => {
  const { layout } = await newVolume()
  return async () => volumeLocks(await openVolume(layout.root), FAST)
})
