/** Schedules of a service whose clock the test moves: declared ones, missed ticks, restarts, and what keeps a tick waiting. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { defineTask, type TaskSchedule } from 'forerunner'
import { startTestForerunner, type TestForerunner } from 'forerunner/testing'
import { rejects } from '../harness/rejects.ts'
import { temporaryDirectory } from '../harness/store-sqlite.ts'
import { until } from '../harness/until.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const startAt = Date.UTC(2026, 2, 1)
const nightly: TaskSchedule = { cron: '0 3 * * *', input: 'x' }
const request = { tasks: [{ name: 'other' }] }

interface Line {
  readonly level: string
  readonly message: string
}

/** A service on a file, with what it has logged. */
async function startOn(path: string, at: number, options: object = {}) {
  const lines: Line[] = []
  const write =
    (level: string) =>
    (...line: unknown[]): void => {
      lines.push({ level, message: String(line.at(-1)) })
    }
  const logger = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const tasks = { other: defineTask({ run: () => 1 }) }
  const forerunner = (await startTestForerunner({
    databaseUrl: `sqlite:${path}`,
    startAt: at,
    logger,
    tasks,
    ...options,
  })) as TestForerunner
  const logged = (text: string): Line[] => lines.filter(({ message }) => message.includes(text))
  return { forerunner, logged, [Symbol.asyncDispose]: () => forerunner.stop() }
}

async function ticksOf(forerunner: TestForerunner, name: string): Promise<string[]> {
  const created: string[] = []
  for await (const { createdAt } of forerunner.allRuns({ tag: `schedule:${name}` })) created.unshift(createdAt)
  return created
}

const iso = (at: number): string => new Date(at).toISOString()

test('a task runs by its own schedule, with the attempts of its task, and says when next', async () => {
  const seen: unknown[] = []
  const report = defineTask({
    schedule: nightly,
    maxAttempts: 4,
    run: (input, { attempt }) => {
      seen.push([input, attempt])
      if (attempt === 1) throw new Error('not yet')
    },
  })
  await using forerunner = await startTestForerunner({ tasks: { report }, startAt })
  const before = await forerunner.getSchedule('report')
  assert.equal(
    [before.declared, before.paused, before.nextAt, before.lastAt, before.lastRunId],
    [true, false, iso(startAt + 3 * hourMs), null, null],
  )
  await forerunner.advance(dayMs)
  assert.equal(seen, [
    ['x', 1],
    ['x', 2],
  ])
  const after = await forerunner.getSchedule('report')
  assert.equal([after.nextAt, after.lastAt], [iso(startAt + 27 * hourMs), iso(startAt + 3 * hourMs)])
  const run = await forerunner.getRun(after.lastRunId ?? '')
  assert.equal([run.createdAt, run.tags, run.jobs[0]?.maxAttempts], [after.lastAt, ['schedule:report'], 4])
  assert.equal(await forerunner.drain(), { completed: 1, failed: 0, cancelled: 0 })
})

test('schedules of the code are changed only in the code; a pause survives a restart', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const declared = { cron: '0 * * * *', request }
  const report = defineTask({ schedule: nightly, run: () => 1 })
  const other = defineTask({ run: () => 1 })
  {
    await using subject = await startOn(path, startAt, { tasks: { report, other }, schedules: { hourly: declared } })
    const { forerunner } = subject
    await rejects(forerunner.putSchedule('report', declared), 'schedule-declared')
    await rejects(forerunner.putSchedule('hourly', declared), 'schedule-declared')
    await rejects(forerunner.removeSchedule('hourly'), 'schedule-declared')
    await forerunner.putSchedule('mine', declared)
    assert.is((await forerunner.pauseSchedule('hourly')).nextAt, null)
    await forerunner.advance(4 * hourMs)
    assert.equal(await ticksOf(forerunner, 'hourly'), [])
    assert.equal(await ticksOf(forerunner, 'report'), [iso(startAt + 3 * hourMs)])
  }
  // Another one has taken the place of the paused one, and the task has lost its own.
  const changed = { ...declared, cron: '30 * * * *' }
  await using subject = await startOn(path, startAt + 4 * hourMs, { schedules: { hourly: changed } })
  const { forerunner, logged } = subject
  const views = await forerunner.listSchedules()
  assert.equal(
    views.map(({ name, declared: isDeclared, paused, cron }) => [name, isDeclared, paused, cron]),
    [
      ['hourly', true, true, '30 * * * *'],
      ['mine', false, false, '0 * * * *'],
    ],
  )
  assert.is(logged('the schedule report is gone').length, 1)
  await forerunner.resumeSchedule('hourly')
  await forerunner.advance(hourMs)
  assert.equal(await ticksOf(forerunner, 'hourly'), [iso(startAt + 4.5 * hourMs)])
})

test('of ticks that passed while nothing ran, one, none or all make their runs', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  {
    await using subject = await startOn(path, startAt)
    for (const missed of ['one', 'skip', 'all'] as const) {
      await subject.forerunner.putSchedule(missed, { cron: '0 * * * *', request, missed })
    }
  }
  // 150 of them, and none of them twice where the clock is set back.
  const back = startAt + 150.5 * hourMs
  const all = Array.from({ length: 100 }, () => iso(back))
  for (const at of [back, back - 20 * hourMs]) {
    await using subject = await startOn(path, at)
    const { forerunner } = subject
    await until('no tick is due', async () =>
      (await forerunner.listSchedules()).every(({ nextAt }) => nextAt === iso(back + hourMs / 2)),
    )
    assert.equal(await ticksOf(forerunner, 'one'), [iso(back)])
    assert.equal(await ticksOf(forerunner, 'skip'), [])
    assert.equal(await ticksOf(forerunner, 'all'), all)
    assert.is((await forerunner.getSchedule('one')).lastAt, iso(back - hourMs / 2))
  }
})

test('a tick waits for room in the backlog, and no other schedule does', async () => {
  await using subject = await startOn(':memory:', startAt, { maxBacklog: 2 })
  const { forerunner, logged } = subject
  await forerunner.putSchedule('two', { cron: '0 * * * *', request: { tasks: [{ name: 'other' }, { name: 'other' }] } })
  await forerunner.putSchedule('one', { cron: '0 * * * *', request })
  const { id } = await forerunner.runTasks({ respond: 'none', tasks: [{ name: 'other', delayMs: dayMs }] })
  await forerunner.advance(hourMs)
  assert.equal(await ticksOf(forerunner, 'one'), [iso(startAt + hourMs)])
  assert.equal(await ticksOf(forerunner, 'two'), [])
  assert.is((await forerunner.getSchedule('two')).nextAt, iso(startAt + hourMs))
  await forerunner.advance(2 * hourMs)
  await forerunner.cancel(id)
  const ticks = await until('the ticks have run', async () => {
    const found = await ticksOf(forerunner, 'two')
    return found.length === 3 && found
  })
  assert.ok(ticks.every((at) => at >= iso(startAt + hourMs)))
  assert.ok(logged('a tick of the schedule two has to wait').length > 0)
})

test('a tick whose request cannot be run any more is passed over, and the schedule says why', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  {
    await using subject = await startOn(path, startAt)
    await subject.forerunner.putSchedule('hourly', { cron: '0 * * * *', request })
  }
  const later = defineTask({ run: () => 1 })
  {
    await using subject = await startOn(path, startAt + hourMs / 2, { tasks: { later } })
    const { forerunner, logged } = subject
    await forerunner.advance(2 * hourMs)
    const { problem, nextAt, lastAt } = await forerunner.getSchedule('hourly')
    const detail = '/tasks/0/name: no task is named "other"'
    assert.equal(problem, { at: iso(startAt + 2 * hourMs), code: 'unknown-task', detail })
    assert.equal([nextAt, lastAt], [iso(startAt + 3 * hourMs), null])
    assert.is(logged('a tick of the schedule hourly makes no run').length, 2)
    await rejects(forerunner.runSchedule('hourly'), 'unknown-task')
  }
  await using subject = await startOn(path, startAt + 2.5 * hourMs)
  await subject.forerunner.advance(hourMs)
  const { problem, lastAt } = await subject.forerunner.getSchedule('hourly')
  assert.equal([problem, lastAt], [null, iso(startAt + 3 * hourMs)])
})

test('removing a run makes no second one, and the log explains the effects of clock changes', async () => {
  const at = Date.UTC(2026, 2, 28, 12)
  await using subject = await startOn(':memory:', at)
  const { forerunner, logged } = subject
  await forerunner.putSchedule('night', { cron: '30 2 * * *', timeZone: 'Europe/Berlin', request })
  await forerunner.advance(dayMs)
  const [run] = (await forerunner.listRuns({ tag: 'schedule:night' })).runs
  assert.is(run?.createdAt, '2026-03-29T01:00:00.000Z')
  await forerunner.remove(run?.id ?? '')
  await forerunner.advance(hourMs)
  assert.equal(await ticksOf(forerunner, 'night'), [])
  assert.is((await forerunner.getSchedule('night')).lastRunId, run?.id)
  assert.is(logged('the clocks of Europe/Berlin skip the local time of this tick').length, 1)
})

test('a schedule in code that is wrong ends the start with a line that names it', async () => {
  const boot = (options: object): Promise<unknown> =>
    startTestForerunner({ tasks: { other: defineTask({ run: () => 1 }) }, ...options })
  const ofTask = (schedule: unknown): Promise<unknown> =>
    boot({ tasks: { report: { schedule, input: undefined, run: () => 1 } } })
  const cases: [() => Promise<unknown>, string][] = [
    [() => ofTask('0 3 * * *'), 'the schedule of the task report must be an object with cron'],
    [() => ofTask({}), 'the schedule of the task report: /cron: '],
    [() => ofTask({ ...nightly, cron: '0 25 * * *' }), 'the schedule of the task report: /cron: '],
    [() => ofTask({ ...nightly, zone: 'UTC' }), 'the schedule of the task report: /zone: unknown member'],
    [() => ofTask({ ...nightly, request }), 'the schedule of the task report must not have a request'],
    [() => ofTask({ ...nightly, input: 1n }), 'the schedule of the task report is no JSON'],
    [
      () => boot({ schedules: { x: { cron: '0 3 * * *', request: { tasks: [{ name: 'nope' }] } } } }),
      'the schedule x: /request',
    ],
    [() => boot({ schedules: { 'a b': { cron: '0 3 * * *', request } } }), 'the schedule a b: its name must be'],
  ]
  for (const [starting, text] of cases) {
    const error = await starting().then(
      () => null,
      (reason: unknown) => reason as Error,
    )
    assert.is(error?.name, 'BootError', text)
    assert.ok(error?.message.startsWith(text), error?.message)
  }
})

test.run()
