/** When a tick counts as missed or refused: clocks that are set, a store that fails, and other processes that know better. */
import { randomUUID } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AppError } from '../../src/domain/errors.ts'
import type { MissedPolicy, Schedule } from '../../src/domain/schedule.ts'
import { createLog } from '../../src/log.ts'
import type { TickOutcome } from '../../src/schedules/ticker.ts'
import { createTicker, type TickerOptions } from '../../src/schedules/ticker.ts'
import { createTimetable } from '../../src/schedules/timetable.ts'
import type { Store } from '../../src/store/store.ts'
import { lendSchema, makeSchema } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { openSqlite } from '../harness/store-sqlite.ts'
import { runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'
import { createClock } from './clock.ts'

const hourMs = 3_600_000
const hourly = createTimetable('0 * * * *', 'UTC')
const firstTick = hourly.next(start) ?? 0

async function addSchedule(store: Store, missed: MissedPolicy): Promise<void> {
  const definition = { name: 'hourly', cron: '0 * * * *', timeZone: 'UTC', request: '{}', missed }
  const state = { isDeclared: false, isPaused: false, lastAt: null, lastRunId: null, problem: null }
  const to: Schedule = { ...definition, ...state, revision: randomUUID(), nextAt: firstTick }
  await store.changeSchedule({ name: 'hourly', from: null, to, run: null }, start)
}

function startTicker(store: Store, clock: ReturnType<typeof createClock>, options: Partial<TickerOptions> = {}) {
  const outcomes: TickOutcome[] = []
  const ticker = createTicker({
    store,
    intake: { admit: (_jobs, ask) => ask() },
    makeRun: async () => runOf(),
    timetableOf: async () => hourly,
    isOurs: () => true,
    clock,
    log: createLog('silent'),
    onTick: (outcome) => void outcomes.push(outcome),
    ...options,
  })
  ticker.start()
  const dealt = async (...expected: readonly TickOutcome[]): Promise<void> => {
    await until(`ticks have come to ${expected.join(', ')}`, () => outcomes.length >= expected.length)
    assert.equal(outcomes, expected)
  }
  return { ticker, dealt, outcomes, [Symbol.asyncDispose]: ticker.stop }
}

const nextAtOf = async (store: Store): Promise<number | null | undefined> => (await store.getSchedule('hourly'))?.nextAt

test('ticks during a sleep of the machine are missed; a corrected clock misses none', async () => {
  for (const [stepMs, outcome] of [
    [hourMs, 'missed'],
    [30_000, 'run'],
  ] as const) {
    await using scoped = await openSqlite(':memory:')
    await addSchedule(scoped.store, 'skip')
    const clock = createClock(firstTick - 20_000)
    await using subject = startTicker(scoped.store, clock)
    await until('it waits for the tick', async () => (await nextAtOf(scoped.store)) === firstTick)
    clock.step(stepMs)
    subject.ticker.clockStepped(stepMs)
    await subject.dealt(outcome)
    assert.is(await nextAtOf(scoped.store), firstTick + hourMs)
  }
})

test('a sleep starts the watch again, also while a query for the old one is under way', async () => {
  await using scoped = await openSqlite(':memory:')
  await addSchedule(scoped.store, 'skip')
  const { promise: replied, resolve: reply } = Promise.withResolvers<void>()
  let queries = 0
  const watchedSince = async (at: number): Promise<number> => {
    queries += 1
    if (queries === 1) await replied
    return at
  }
  const clock = createClock(firstTick - 20_000)
  const notifier = { watchedSince } as NonNullable<Store['notifier']>
  await using subject = startTicker({ ...scoped.store, notifier }, clock)
  await until('it asks', () => queries === 1)
  clock.step(hourMs)
  subject.ticker.clockStepped(hourMs)
  reply()
  await subject.dealt('missed')
})

test('setting the clock back repeats no tick', async () => {
  await using scoped = await openSqlite(':memory:')
  await addSchedule(scoped.store, 'all')
  const clock = createClock(start)
  await using subject = startTicker(scoped.store, clock)
  clock.step(firstTick - start + 10)
  await subject.dealt('run')
  clock.step(-2 * hourMs)
  subject.ticker.clockStepped(-2 * hourMs)
  clock.step(2 * hourMs)
  clock.step(hourMs)
  await subject.dealt('run', 'run')
  const { runs } = await scoped.store.listRuns({ pageSize: 10 })
  assert.is(runs.length, 2)
})

test('a tick is retried if the store fails or its outcome is unknown', async () => {
  for (const isLost of [true, false]) {
    await using scoped = await openSqlite(':memory:')
    await addSchedule(scoped.store, 'one')
    let failures = 0
    const failing = async (...given: Parameters<Store['changeSchedule']>) => {
      failures += 1
      if (failures > 1) return scoped.store.changeSchedule(...given)
      if (!isLost) await scoped.store.changeSchedule(...given)
      throw new AppError('store-unavailable', 'the reply is lost')
    }
    const clock = createClock(start)
    await using subject = startTicker({ ...scoped.store, changeSchedule: failing }, clock)
    clock.step(firstTick - start)
    await until('the tick is dealt with', async () => (await nextAtOf(scoped.store)) === firstTick + hourMs)
    await subject.ticker.stop()
    const { runs } = await scoped.store.listRuns({ pageSize: 10 })
    assert.equal(
      runs.map(({ id }) => id),
      [(await scoped.store.getSchedule('hourly'))?.lastRunId],
    )
  }
})

test('a stop leaves no timer, whatever is in progress', async () => {
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  await using scoped = await openSqlite(':memory:')
  await addSchedule(scoped.store, 'one')
  const before = timers()
  const { onMoved: _none, ...clock } = createClock(firstTick - hourMs)
  const subject = startTicker(scoped.store, clock)
  await subject.ticker.stop()
  assert.is(timers(), before)
})

test('a tick that another process has not come to yet is no missed one, as long as a process lives that was there', async () => {
  await using schema = await makeSchema()
  const quick = { renewMs: 100, roundMs: 100 }
  await using one = await openPostgres(schema, quick)
  await addSchedule(one.store, 'one')
  const clock = createClock(firstTick - 1)
  const admit = async (): Promise<never> => {
    throw new AppError('overloaded', 'there is no room')
  }
  await using older = startTicker(one.store, clock, { intake: { admit } })
  await until('it knows of no other', async () => (await one.store.notifier?.watchedSince(clock.now())) !== null)
  clock.step(1 + 2 * hourMs)
  await using other = await openPostgres(schema, quick)
  const middle = startTicker(other.store, clock, { intake: { admit } })
  await until('it knows of the older one', async () => {
    return (await other.store.notifier?.watchedSince(clock.now())) === firstTick - 1
  })
  await older.ticker.stop()
  await one.store.close()
  await using third = await openPostgres(schema, quick)
  {
    await using newer = startTicker(third.store, clock)
    await newer.dealt('run', 'run', 'run')
    await middle.ticker.stop()
    await other.store.close()
  }
  clock.step(3 * hourMs)
  await third.store.close()
  await using last = await openPostgres(schema, quick)
  await using late = startTicker(last.store, clock)
  await late.dealt('run')
})

test('of processes that share a store, one that knows better has 15 s before a tick is missed or refused', async () => {
  await using schema = await lendSchema()
  await using scoped = await openPostgres(schema)
  const { store } = scoped
  const unknown = async (): Promise<never> => {
    throw new AppError('unknown-task', 'no task is named "new"')
  }
  await addSchedule(store, 'skip')
  const clock = createClock(firstTick - 1)
  await using older = startTicker(store, clock, { makeRun: unknown })
  clock.step(1)
  await until('the older one has looked', async () => (await store.dueSchedules(clock.now())).due.length === 1)
  {
    // It was there at the time of the tick.
    await using newer = startTicker(store, createClock(firstTick))
    await newer.dealt('run')
  }
  assert.equal(older.outcomes, [])
  clock.step(hourMs + 14_999)
  assert.is(await nextAtOf(store), firstTick + hourMs)
  clock.step(1)
  older.ticker.wake()
  await older.dealt('refused')
  assert.is((await store.getSchedule('hourly'))?.problem?.at, firstTick + hourMs)

  // Nobody was there.
  await older.ticker.stop()
  clock.step(hourMs)
  await using late = startTicker(store, clock)
  await late.dealt('missed')
  assert.is(await nextAtOf(store), firstTick + 3 * hourMs)
})

test.run()
