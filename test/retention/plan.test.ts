import { describe, expect, it } from 'vitest'
import { makePlan, type Policy } from '../../src/retention/plan.ts'
import type { Mark } from '../../src/retention/mark.ts'
import type { ActiveRun, Scan, Thing } from '../../src/retention/scan.ts'

const H = 3.6e6
const DAY = 24 * H
const policy: Policy = {
  completedRetention: DAY,
  staleTimeout: 6 * H,
  templateRetention: 7 * DAY,
  artifactRetention: 7 * DAY,
  sweepAfter: DAY,
  cacheRetention: 3 * DAY,
  toolRetention: 7 * DAY,
  trashRetention: DAY,
  grace: H,
}
const thing = (ageMs: number, quietMs = ageMs): Thing => ({ path: 'a/b', bytes: 7, ageMs, quietMs })
const nothingMarked: Mark = {
  startMs: 0,
  endMs: 0,
  blobs: [],
  layouts: [],
  problems: [],
  unreferenced: new Map(),
  missing: new Set(),
  batches: [],
  before: new Map(),
}
const empty: Scan = {
  runs: [],
  completed: [],
  templates: [],
  cache: [],
  tools: [],
  consumers: [],
  trash: [],
  leftovers: [],
  notes: [],
  blocked: [],
  outputs: [],
  mark: nothingMarked,
}
const gone = { state: 'gone', evidence: 'PipelineRun r is finished' } as const
const run = (over: Partial<ActiveRun>): ActiveRun => ({ ...thing(0), closed: false, verdict: gone, ...over })
const actions = (scan: Partial<Scan>) =>
  makePlan({ ...empty, ...scan }, policy).actions.map((action) => action.action)

describe('the retention plan', () => {
  it.each<
    [
      'completed' | 'templates' | 'cache' | 'tools' | 'consumers' | 'trash' | 'leftovers' | 'notes',
      number,
      string,
    ]
  >([
    ['completed', DAY, 'trash'],
    ['templates', 7 * DAY, 'trash'],
    ['cache', 3 * DAY, 'trash'],
    ['tools', 7 * DAY, 'trash'],
    ['consumers', 7 * DAY, 'trash'],
    ['trash', DAY, 'purge'],
    ['leftovers', DAY, 'purge'],
    ['notes', 7 * DAY, 'purge'],
  ])('%s go at their age and not before', (kind, limit, action) => {
    expect(actions({ [kind]: [thing(limit - 1)] })).toEqual([])
    expect(actions({ [kind]: [thing(limit)] })).toEqual([action])
  })

  it('trashes nothing that somebody wrote to within the grace', () => {
    expect(actions({ completed: [thing(2 * DAY, H - 1)], templates: [thing(8 * DAY, 0)] })).toEqual([])
  })

  it('archives a closed run as soon as nothing of it is alive', () => {
    expect(actions({ runs: [run({ closed: true })] })).toEqual(['archive'])
  })

  it('archives a run that ended without closing once it is stale', () => {
    expect(actions({ runs: [run({ quietMs: 6 * H - 1 })] })).toEqual([])
    expect(actions({ runs: [run({ quietMs: 6 * H })] })).toEqual(['archive'])
  })

  it('never touches a run that is alive, however old or closed', () => {
    const alive = { state: 'alive', why: 'it runs' } as const
    expect(actions({ runs: [run({ verdict: alive, quietMs: 99 * DAY, closed: true })] })).toEqual([])
  })

  it('only reports an open run of which nothing tells whether it is alive', () => {
    const unknown = { state: 'unknown', why: 'HTTP 403' } as const
    const plan = makePlan({ ...empty, runs: [run({ verdict: unknown, quietMs: 99 * DAY })] }, policy)
    expect(plan.actions).toEqual([])
    expect(plan.blocked).toEqual([{ path: 'a/b', why: expect.stringContaining('HTTP 403') }])
    expect(actions({ runs: [run({ verdict: unknown, closed: true, quietMs: H })] })).toEqual(['archive'])
    expect(actions({ runs: [run({ verdict: unknown, closed: true, quietMs: H - 1 })] })).toEqual([])
  })

  it('says why, and how many bytes', () => {
    const [action] = makePlan({ ...empty, completed: [thing(DAY)] }, policy).actions
    expect(action).toEqual({
      action: 'trash',
      path: 'a/b',
      bytes: 7,
      why: 'archived 24.0 h ago, kept for 24.0 h',
    })
  })
})
