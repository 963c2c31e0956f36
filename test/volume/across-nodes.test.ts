import { readdir, rename, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Event } from '../../src/events.ts'
import { injectFault } from '../../src/platform/fs.ts'
import { violations } from '../../src/volume/across-nodes/judge.ts'
import { probeAcrossNodes, type ProbeOptions } from '../../src/volume/across-nodes/probe.ts'
import { namesFor, type Seen } from '../../src/volume/across-nodes/races.ts'
import { readAcrossNodes, requireExclusion, type AcrossNodes } from '../../src/volume/across-nodes/record.ts'
import { ensureVolume, type Volume } from '../../src/volume/volume.ts'
import { temporaryFolder } from '../support/folder.ts'

const newVolume = async (): Promise<Volume> => ensureVolume(await temporaryFolder(), () => {})

function optionsOf(side: 0 | 1, more: Partial<ProbeOptions> = {}): ProbeOptions & { events: Event[] } {
  const events: Event[] = []
  return {
    session: 'session-1',
    side,
    node: `node-${side}`,
    patienceMs: 20_000,
    emit: (event) => void events.push(event),
    signal: new AbortController().signal,
    events,
    ...more,
  }
}

const both = (volume: Volume, session = 'session-1') =>
  Promise.all([0, 1].map((side) => probeAcrossNodes(volume, optionsOf(side as 0 | 1, { session }))))

/** A name that both sides race for, of that way. */
const isRaced = (path: string, way: string): boolean => new RegExp(`^${way}-\\d+$`).test(basename(path))

/** Of how many names the record says that both nodes took them: where they raced most closely, one may still lose. */
function takenByBoth({ reasons }: AcrossNodes, title: string): number {
  expect(reasons).toEqual([expect.stringContaining(`${title}: `)])
  return Number(/(\d+) of 200 names were taken by both nodes/.exec(reasons[0]!)![1])
}

describe('the probe on two nodes', () => {
  it('says yes on a file system that excludes, and leaves nothing but its record', async () => {
    const volume = await newVolume()
    await requireExclusion(volume)
    expect(await readAcrossNodes(volume)).toBeUndefined()
    const [first, second] = await both(volume)
    expect(first).toMatchObject({
      exclusion: 'yes',
      reasons: [],
      races: 200,
      flock: 'excludes',
      sides: [{ node: 'node-0' }, { node: 'node-1' }],
    })
    expect({ ...second, at: '' }).toEqual({ ...first, at: '' })
    expect(await readdir(volume.layout.probes)).toEqual(['across-nodes'])
    expect(await readAcrossNodes(volume)).toEqual(first)
    await requireExclusion(volume)
  })

  it('says no where link takes the place of what is there, and locks are refused from then on', async () => {
    const volume = await newVolume()
    injectFault(async (operation, path) => {
      if (operation === 'link' && isRaced(path, 'link')) await unlink(path).catch(() => {})
    })
    onTestFinished(() => injectFault(undefined))
    const [first] = await both(volume)
    expect(first).toMatchObject({ exclusion: 'no' })
    expect(takenByBoth(first!, 'link(2)')).toBeGreaterThan(100)
    await expect(requireExclusion(volume)).rejects.toMatchObject({
      code: 'STORAGE_UNSAFE',
      found: expect.stringContaining('between node-0 ('),
      hint: expect.stringContaining('backend: lease'),
    })
    // The next probe counts, once the mount is another.
    injectFault(undefined)
    await both(volume, 'session-2')
    await requireExclusion(volume)
  })

  it.each([
    ['a rename of a folder does', 'rename', 'rename', 'rename of a folder'],
    ['O_EXCL does', 'open', 'create', 'O_EXCL'],
  ] as const)('says no where %s', async (_, operation, way, title) => {
    const volume = await newVolume()
    let n = 0
    injectFault(async (now, path) => {
      if (now === operation && isRaced(path, way)) await rename(path, `${path}.away-${n++}`).catch(() => {})
    })
    onTestFinished(() => injectFault(undefined))
    const [first] = await both(volume)
    expect(first).toMatchObject({ exclusion: 'no' })
    expect(takenByBoth(first!, title)).toBeGreaterThan(100)
  })

  it('leaves it unknown where nobody else comes: on two folders that are not one volume', async () => {
    const volumes = [await newVolume(), await newVolume()]
    const lonely = volumes.map((volume, side) =>
      probeAcrossNodes(volume, optionsOf(side as 0 | 1, { patienceMs: 300 })),
    )
    for (const one of await Promise.allSettled(lonely)) {
      expect((one as PromiseRejectedResult).reason).toMatchObject({
        code: 'STORAGE_IO',
        message: expect.stringContaining('stays unknown: nothing was heard of the other side at "here"'),
        hint: expect.stringContaining('the same volume'),
      })
    }
    for (const volume of volumes) expect(await readAcrossNodes(volume)).toBeUndefined()
  })

  it('leaves it unknown where the other side stops', async () => {
    const volume = await newVolume()
    const stopped = new AbortController()
    injectFault((operation, path) => {
      if (operation === 'link' && path.endsWith('round-3-ready.1')) stopped.abort(new Error('killed'))
    })
    onTestFinished(() => injectFault(undefined))
    const [first, second] = await Promise.allSettled([
      probeAcrossNodes(volume, optionsOf(0, { patienceMs: 500 })),
      probeAcrossNodes(volume, optionsOf(1, { signal: stopped.signal })),
    ])
    expect(first).toMatchObject({ status: 'rejected', reason: { code: 'STORAGE_IO' } })
    expect(second).toMatchObject({ status: 'rejected' })
    expect(await readAcrossNodes(volume)).toBeUndefined()
  })

  it('refuses two sides on one node, and two of the same side', async () => {
    const volume = await newVolume()
    const together = [0, 1].map((side) =>
      probeAcrossNodes(volume, optionsOf(side as 0 | 1, { node: 'node-a', session: 'one-node' })),
    )
    for (const one of await Promise.allSettled(together))
      expect(one).toMatchObject({ status: 'rejected', reason: { code: 'USAGE', found: 'node-a' } })
    const twice = [0, 1].map(() => probeAcrossNodes(volume, optionsOf(0, { patienceMs: 300 })))
    const codes = (await Promise.allSettled(twice)).map((one) => (one as PromiseRejectedResult).reason.code)
    expect(codes.sort()).toEqual(['STORAGE_IO', 'USAGE'])
  })

  it('refuses a session that could leave the folder of probes', async () => {
    const volume = await newVolume()
    await expect(probeAcrossNodes(volume, optionsOf(0, { session: '../x' }))).rejects.toMatchObject({
      code: 'UNSAFE_PATH',
    })
    expect(join(volume.layout.acrossNodes, '..')).toBe(volume.layout.probes)
  })
})

describe('what two sides saw', () => {
  const names = namesFor(4)
  const fair = (): [Seen, Seen] => {
    const winner = (name: string): number => names.indexOf(name) % 2
    const owners = () => Object.fromEntries(names.map((name) => [name, String(winner(name))]))
    const won = (side: number) => names.filter((name) => winner(name) === side)
    return [
      { won: won(0), owners: owners() },
      { won: won(1), owners: owners() },
    ]
  }
  const verdict = (change: (seen: [Seen, Seen]) => void, slowestAnswerMs = 30): string[] => {
    const seen = fair()
    change(seen)
    return violations({ seen, races: 4, slowestAnswerMs })
  }

  it('is no violation where each name has one winner whom both see', () => {
    expect(verdict(() => {})).toEqual([])
  })

  it.each<[string, (seen: [Seen, Seen]) => void, string]>([
    ['two winners', ([a]) => a.won.push('link-1'), 'link(2): 1 of 4 names were taken by both nodes'],
    ['none', ([a]) => void a.won.shift(), 'link(2): 1 of 4 names were taken by neither node'],
    [
      'a winner whom nobody sees',
      (seen) => seen.forEach((one) => (one.owners['create-0'] = '1')),
      'O_EXCL: 1 of 4 names do not show both nodes what the winner put there',
    ],
    [
      'a winner whom one does not see',
      ([, b]) => (b.owners['rename-0'] = 'ENOENT'),
      'rename of a folder: 1 of 4 names do not show both nodes what the winner put there',
    ],
  ])('is one where a name has %s', (_, change, reason) => {
    expect(verdict(change)).toEqual([reason])
  })

  it('is one where names show up late', () => {
    expect(verdict(() => {}, 10_001)).toEqual([
      expect.stringContaining('10.0 s until names of one node showed'),
    ])
  })
})
