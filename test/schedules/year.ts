/**
 * A year of ticks on a clock that the test moves, with processes that die at random moments: each tick has made one run
 * in the end. An engine brings its processes along.
 */
import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import type { Schedule } from '../../src/domain/schedule.ts'
import { createLog } from '../../src/log.ts'
import { createTicker, type Ticker, type TickerOptions } from '../../src/schedules/ticker.ts'
import { createTimetable } from '../../src/schedules/timetable.ts'
import type { Store } from '../../src/store/store.ts'
import { createRandom } from '../harness/random.ts'
import { jobOf, runOf } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'
import { createClock } from './clock.ts'

export interface Place {
  /** A process that can use the store. */
  start(): Promise<{ readonly store: TickerOptions['store']; die(): Promise<void> }>
  /** How many there can be at once. */
  readonly processes: number
  /** For the test itself; it does not die. */
  look<Value>(at: (store: Store) => Promise<Value>): Promise<Value>
}

/** Both changes of its clocks concern each of them. */
const patterns: readonly [zone: string, pattern: string][] = [
  ['Europe/Berlin', '30 2 * * *'],
  ['America/New_York', '30 1,2 * * 0'],
  ['Australia/Lord_Howe', '15,45 1,2 * * 0'],
]
const [from, to] = [Date.UTC(2026, 0), Date.UTC(2027, 0)]
const hourMs = 3_600_000

function scheduleOf(name: string, timeZone: string, cron: string): Schedule {
  const nextAt = createTimetable(cron, timeZone).next(from - 1)
  const state = { isDeclared: false, isPaused: false, nextAt, lastAt: null, lastRunId: null, problem: null }
  return { name, revision: randomUUID(), cron, timeZone, request: '', missed: 'all', ...state }
}

function ticksOf(zone: string, pattern: string): number[] {
  const timetable = createTimetable(pattern, zone)
  const ticks: number[] = []
  for (let tick = timetable.next(from - 1) ?? to; tick < to; tick = timetable.next(tick) ?? to) ticks.push(tick)
  return ticks
}

/** @param deaths about how many processes die */
export async function liveThroughYear(place: Place, seed: number, deaths: number): Promise<void> {
  const random = createRandom(seed)
  const clock = createClock(from - 1)
  const expected = new Map(patterns.map(([zone, pattern]) => [zone, ticksOf(zone, pattern)]))
  const instants = [...new Set([...expected.values()].flat())].toSorted((one, other) => one - other)
  const alive: { readonly ticker: Ticker; die(): Promise<void> }[] = []

  async function start(): Promise<void> {
    const { store, die } = await place.start()
    const timetables = new Map(patterns.map(([zone, pattern]) => [zone, createTimetable(pattern, zone)]))
    const ticker = createTicker({
      store,
      intake: { admit: (_jobs, ask) => ask() },
      // The run remembers its tick.
      makeRun: async ({ timeZone, nextAt }) =>
        runOf({ tags: [timeZone], jobs: [jobOf({ input: JSON.stringify(nextAt) })] }),
      timetableOf: async ({ timeZone }) => timetables.get(timeZone) ?? createTimetable('* * * * *', timeZone),
      isOurs: () => true,
      clock,
      log: createLog('silent'),
    })
    ticker.start()
    alive.push({ ticker, die })
  }

  async function killOne(): Promise<void> {
    const [victim] = alive.splice(random.whole(0, alive.length - 1), 1)
    const stopped = victim?.ticker.stop()
    await victim?.die()
    await stopped
  }

  for (const [zone, pattern] of patterns) {
    const change = {
      name: zone.replace('/', '-'),
      from: null,
      to: scheduleOf(zone.replace('/', '-'), zone, pattern),
      run: null,
    }
    await place.look((store) => store.changeSchedule(change, from))
  }
  let dead = 0
  for (const instant of instants) {
    if (random.chance(0.05)) clock.step(-30 * hourMs)
    clock.step(instant - clock.now())
    while (alive.length < place.processes && (alive.length === 0 || random.chance(0.5))) await start()
    if (random.chance(deaths / instants.length)) {
      dead += 1
      // Somewhere between the tick and what follows from it.
      for (let turns = random.whole(0, 12); turns > 0; turns -= 1) await nextTurn()
      await killOne()
      // Some ticks pass while nothing runs, or while another process goes on.
      if (alive.length === 0 && random.chance(0.5)) continue
      if (alive.length === 0) await start()
    }
    if (random.chance(0.2) || dead === deaths || alive.length < place.processes) {
      await until('no tick is due', () =>
        place.look(async (store) => (await store.dueSchedules(instant)).due.length === 0),
      )
    }
  }
  if (alive.length === 0) await start()
  await until('no tick is due', () =>
    place.look(async (store) => (await store.dueSchedules(to)).due.every(({ nextAt }) => (nextAt ?? to) >= to)),
  )
  while (alive.length > 0) await killOne()
  assert.ok(dead > deaths / 3, `${dead} processes died`)
  for (const [zone, ticks] of expected) {
    assert.equal(await place.look((store) => ticksThatRan(store, zone)), ticks, zone)
  }
}

async function ticksThatRan(store: Store, tag: string): Promise<number[]> {
  const ticks: number[] = []
  let beforeId: string | undefined
  for (;;) {
    const page = await store.listRuns({ tag, pageSize: 500, ...(beforeId !== undefined && { beforeId }) })
    for (const { id } of page.runs) ticks.push(Number((await store.getInput(id, 0))?.input))
    beforeId = page.runs.at(-1)?.id
    if (!page.hasMore) return ticks.toSorted((one, other) => one - other)
  }
}
