/** What the timeline makes of a job, and where it puts it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobView } from '../../src/client/client.ts'
import { lostStartText, segmentsOf, workOf } from '../../web/run/segments.ts'
import { tickStepOf, ticksOf, timeScaleOf } from '../../web/run/time-scale.ts'
import { panned, windowOf, zoomed } from '../../web/run/zoom.ts'
import { ageOf, durationOf, exactOf, shareOf } from '../../web/time/format.ts'

const start = Date.UTC(2026, 10, 23)
const at = (ms: number): string => new Date(start + ms).toISOString()

function job(change: Partial<JobView>): JobView {
  return {
    index: 0,
    task: 'x',
    state: 'queued',
    thread: null,
    attempt: 0,
    maxAttempts: 3,
    queuedAt: at(0),
    startedAt: null,
    finishedAt: null,
    runAt: null,
    waiting: null,
    waitsFor: [],
    progress: null,
    error: null,
    failures: [],
    ...change,
  }
}

const error = { code: 'task_error', message: 'no' } as const
const failure = (attempt: number, from: number, to: number) => ({
  attempt,
  startedAt: at(from),
  finishedAt: at(to),
  error,
})
const shapes = (change: Partial<JobView>) =>
  segmentsOf(job(change), start).map(({ kind, from, to }) => `${kind} ${from}–${to ?? ''}`)

test('a job that was started by the commit itself did not wait', () => {
  assert.equal(shapes({ state: 'completed', startedAt: at(0), finishedAt: at(50) }), ['completed 0–50'])
  assert.equal(shapes({ state: 'running', startedAt: at(1) }), ['running 1–'])
})

test('a waiting job has a wait that is still in progress', () => {
  assert.equal(shapes({}), ['waiting 0–'])
  assert.equal(shapes({ state: 'running', startedAt: at(30) }), ['waiting 0–30', 'running 30–'])
})

test('a lost start is shown among the attempts, and spends none', () => {
  const lostStart = { startedAt: at(40), takenBackAt: at(60) }
  const failures = [failure(1, 0, 10)]
  const before = ['failed 0–10', 'backoff 10–40', 'lost 40–60']
  assert.equal(shapes({ failures, lostStart }), [...before, 'waiting 60–'])
  const again = { failures, lostStart, startedAt: at(70) }
  assert.equal(shapes({ ...again, state: 'running' }), [...before, 'waiting 60–70', 'running 70–'])
  assert.is(lostStartText(segmentsOf(job(again), start)), ', a start at 40 ms was lost with its process')
  assert.is(lostStartText(segmentsOf(job({ failures }), start)), '')
  const crashed = { state: 'failed', error, startedAt: at(40), finishedAt: at(60) } as const
  assert.equal(shapes({ ...crashed, failures, lostStart }), ['failed 0–10', 'backoff 10–40', 'failed 40–60'])
  const [first] = segmentsOf(job({ lostStart: { startedAt: at(0), takenBackAt: at(9e6) } }), start)
  assert.is(first?.attempt, null)
  assert.is(timeScaleOf(first === undefined ? [] : [first, { ...first, from: 9e6, attempt: 1 }], [0]).breaks.length, 1)
})

test('each attempt is a segment, preceded by its wait', () => {
  const failures = [failure(1, 0, 10), failure(2, 40, 50)]
  const attempts = ['failed 0–10', 'backoff 10–40', 'failed 40–50']
  assert.equal(shapes({ state: 'retrying', failures, startedAt: at(40) }), [...attempts, 'backoff 50–'])
  const done = { startedAt: at(90), finishedAt: at(95), failures }
  assert.equal(shapes({ ...done, state: 'completed' }), [...attempts, 'backoff 50–90', 'completed 90–95'])
  const last = { state: 'failed', startedAt: at(40), finishedAt: at(50), failures, error } as const
  assert.equal(shapes(last), attempts, 'the last failure is not drawn twice')
})

test('a job that was queued again by request did nothing in between', () => {
  const failures = [failure(1, 0, 10)]
  const again = { failures, queuedAt: at(1_000) }
  assert.equal(shapes(again), ['failed 0–10', 'waiting 1000–'])
  const running = shapes({ ...again, state: 'running', startedAt: at(1_020) })
  assert.equal(running, ['failed 0–10', 'waiting 1000–1020', 'running 1020–'])
})

test('a job can be cancelled before it has started, and while it runs', () => {
  assert.equal(shapes({ state: 'cancelled', finishedAt: at(20) }), ['waiting 0–20'])
  assert.equal(shapes({ state: 'cancelled', startedAt: at(0), finishedAt: at(20) }), ['cancelled 0–20'])
})

test('in a list the attempts that failed are known by their times alone', () => {
  const { failures: _failures, ...listed } = job({ state: 'failed', startedAt: at(40), finishedAt: at(50) })
  const failedAttempts = [failure(1, 0, 10), failure(2, 40, 50)].map(({ startedAt, finishedAt }) => ({
    startedAt,
    finishedAt,
  }))
  assert.equal(
    segmentsOf({ ...listed, failedAttempts }, start).map(({ kind, from, to }) => `${kind} ${from}–${to ?? ''}`),
    ['failed 0–10', 'backoff 10–40', 'failed 40–50'],
  )
})

test('an event that leaves the failures out has the last attempt at least', () => {
  const { failures: _left, ...short } = job({ state: 'failed', startedAt: at(40), finishedAt: at(50), error })
  assert.equal(segmentsOf(short, start).at(-1), { kind: 'failed', from: 40, to: 50, attempt: 1 })
})

test('counts the work, and the part of it after the answer', () => {
  const jobs = [
    job({ state: 'completed', startedAt: at(0), finishedAt: at(10) }),
    job({ state: 'running', startedAt: at(5) }),
  ]
  const run = { createdAt: at(0), respondedAt: at(10), jobs } as unknown as Parameters<typeof workOf>[0]
  assert.equal(workOf(run, start + 30), { totalMs: 35, afterMs: 20 })
  assert.equal(workOf({ ...run, respondedAt: null }, start + 30), { totalMs: 35, afterMs: null })
})

test('cuts long idle times out of the axis, and keeps short ones', () => {
  const ran = (from: number, to: number | null) => ({ kind: 'completed', from, to, attempt: 1 }) as const
  assert.equal(timeScaleOf([ran(0, 1_000), ran(3_000, 4_000)], [0]).breaks, [])
  assert.equal(timeScaleOf([ran(1, null), ran(1, null), ran(2, 300)], [0, 311]).breaks, [], 'several run at once')
  const { breaks, toAxis } = timeScaleOf([ran(0, 1_000), ran(3_601_000, null)], [0, 500])
  assert.equal(breaks, [{ at: 1_000, width: 80, idleMs: 3_600_000 }])
  assert.equal([0, 1_000, 1_801_000, 3_601_000, 3_602_000].map(toAxis), [0, 1_000, 1_040, 1_080, 2_080])
})

test('time during which any job runs is never idle', () => {
  const open = (from: number) => ({ kind: 'running', from, to: null, attempt: 1 }) as const
  assert.equal(timeScaleOf([open(1), open(1), open(90_000)], [0, 500]).breaks, [])
  const { breaks } = timeScaleOf([open(60_001), open(60_001), open(200_000)], [0])
  assert.equal(breaks, [{ at: 0, width: 50, idleMs: 60_001 }])
})

test('has ticks at round times', () => {
  assert.equal(
    [3, 90, 700, 6_000, 45_000, 200_000, 4e9].map((span) => tickStepOf(span, 7)),
    [1, 20, 100, 1_000, 10_000, 30_000, 604_800_000],
  )
})

test('positions on the axis convert back to instants, and ticks avoid cuts', () => {
  const ran = (from: number, to: number) => ({ kind: 'completed', from, to, attempt: 1 }) as const
  const scale = timeScaleOf([ran(0, 1_000), ran(3_601_000, 3_602_000)], [0])
  const instants = [0, 500, 1_000, 900_000, 3_601_000, 3_601_500]
  assert.equal(
    instants.map((ms) => Math.round(scale.fromAxis(scale.toAxis(ms)))),
    instants,
  )
  const end = scale.toAxis(3_602_000)
  assert.equal(
    ticksOf(scale, 0, end, 500).map(({ ms }) => ms),
    [0, 500, 1_000, 3_601_500, 3_602_000],
  )
  assert.equal(
    ticksOf(scale, 300, 800, 100).map((tick) => tick.at),
    [300, 400, 500, 600, 700, 800],
  )
})

test('zooms around a place and moves, never beyond the axis', () => {
  assert.equal(zoomed(null, 1_000, 0.5), { from: 250, to: 750 })
  assert.equal(zoomed(null, 1_000, 0.5, 0), { from: 0, to: 500 })
  assert.equal(zoomed({ from: 100, to: 200 }, 1_000, 0.5, 200), { from: 150, to: 200 })
  assert.is(zoomed({ from: 250, to: 750 }, 1_000, 4), null)
  assert.equal(panned({ from: 100, to: 200 }, 1_000, 0.5), { from: 150, to: 250 })
  assert.equal(panned({ from: 100, to: 200 }, 1_000, -9), { from: 0, to: 100 })
  assert.is(panned(null, 1_000, 1), null)
  assert.equal(windowOf(900, 700, 1_000), { from: 700, to: 900 })
  assert.equal(windowOf(999, 1_001, 1_000), { from: 996, to: 1_000 })
})

test('writes times as people read them', () => {
  assert.equal([7, 1_234, 65_123, 7_445_010].map(exactOf), ['7 ms', '1.234 s', '1 min 05.123 s', '2 h 04 min 05.010 s'])
  const durations = [0, 999, 1_010, 9_999, 12_340, 65_000, 7_440_000, 97_200_000].map(durationOf)
  assert.equal(durations, ['0 ms', '999 ms', '1.01 s', '10.00 s', '12.3 s', '1 min 05 s', '2 h 04 min', '1 d 3 h'])
  assert.equal([0, 8_000, 200_000, 64_800_000, 2e8].map(ageOf), ['now', '8 s', '3 min', '18 h', '2 d'])
  assert.equal(
    [shareOf(1, 3), shareOf(998, 1_000), shareOf(9_999, 10_000), shareOf(1, 10_000)],
    ['33 %', '99.8 %', '99.9 %', '0.1 %'],
  )
})

test.run()
