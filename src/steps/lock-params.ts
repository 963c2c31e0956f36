/** What the steps that acquire a lock have in common. */
import { LOCK_BACKENDS } from '../configuration.ts'
import { param } from '../contract.ts'
import { MODES } from '../locks/format.ts'
import { limit, name, oneOf, orNone, wholeNumber } from '../schemas.ts'

export const LOCK_NAME = param(name, 'The name of the lock, the same for all who share it.')

export const LOCK_MODE = {
  mode: param(
    oneOf(MODES),
    'Who else may hold it: `exclusive`, nobody; `shared`, other shared holds; `counting`, others up to `limit`.',
    'exclusive',
  ),
  limit: param(
    limit,
    'With the mode `counting`: how many may hold it at once, the same for all. Else empty.',
    '',
  ),
}

export const LOCK_PRIORITY = param(
  wholeNumber('a whole number', -999, 999),
  'Among those who wait, a higher number goes first.',
  '0',
)

export const LOCK_BACKEND = param(
  orNone(oneOf(LOCK_BACKENDS)),
  'Where the lock lives: `volume`, on the shared volume, or `lease`, as a Lease of the Kubernetes API in the namespace of the run, for volumes on which locks do not exclude. The same for all who share it. Empty: as the namespace is configured, else `volume`.',
  '',
)
