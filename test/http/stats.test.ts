/**
 * GET /tasks/{name}/stats: what a task did minute by minute, from the store and from the minute that is not over; and
 * GET /stats/recent: what the process runs now, and how its last minutes were.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient } from '../../src/client/client.ts'
import { minuteMs } from '../../src/domain/task-history.ts'
import { createLog } from '../../src/log.ts'
import { sumUp, createMinuteRecorder } from '../../src/metrics/minutes.ts'
import type { RecentView } from '../../src/http/views/stats.ts'
import { readRun } from '../harness/run.ts'
import { type Service, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

test('counts attempts of a task by outcome, with their durations', async () => {
  await using service = await startService()
  const client = createClient({ baseUrl: service.url })
  const input = { texts: [], failures: 9 }
  const tasks = [{ name: 'logs', input: { texts: [] } }, { name: 'logs', input, maxAttempts: 1 }, { name: 'nothing' }]
  await service.post('/run-tasks', { tasks, respond: 'all' })
  const { steps, starts, ...stats } = await client.taskStats('logs', { stepMinutes: 1_440 })
  assert.equal(stats, { task: 'logs', stepMs: 1_440 * minuteMs })
  assert.is(starts.length, 1)
  const [step] = steps
  assert.equal([step?.started, step?.completed, step?.failed, step?.retried], [2, 1, 1, 0])
  assert.equal([step?.runMs.count, step?.waitMs.count], [2, 1])
  const from = new Date(Date.now() - 2 * minuteMs)
  assert.equal((await client.taskStats('logs', { from, to: from })).steps, [])
  await expectProblem(await service.get('/tasks/none/stats'), 'task-not-found')
  for (const query of ['from=today', 'stepMinutes=0', 'stepMinutes=1441', 'from=2026-01-01T00:00:00Z', 'task=logs']) {
    await expectProblem(await service.get(`/tasks/logs/stats?${query}`), 'invalid-filter')
  }
})

test('each minute is written once, and minutes of several processes are added up', async () => {
  const written: { readonly at: number; readonly task: string; readonly figures: string }[] = []
  let now = 10 * minuteMs + 5
  const open = (statsRetentionMs: number) =>
    createMinuteRecorder({
      store: { addMinutes: async (rows) => void written.push(...rows) },
      clock: { now: () => now },
      log: createLog('silent'),
      statsRetentionMs,
    })
  const ids = { runId: 'r', jobIndex: 0, claim: 1, kind: 'io', input: null, timeoutMs: 1, attempt: 1 } as const
  const job = { ...ids, task: 'a', thread: 'worker-1', maxAttempts: 2, lostStarts: 0, waitedMs: 8 }
  const error = { ok: false, error: { code: 'timeout', message: '' }, isRetryable: true } as const
  const [one, other] = [open(1), open(1)]
  for (const recorder of [one, other, open(0)]) {
    recorder.attemptStarted(job)
    recorder.attemptEnded({ job, outcome: { ok: true, result: '1' }, tookMs: 100, isFinal: true })
    recorder.attemptEnded({ job, outcome: error, tookMs: 200, isFinal: false })
    recorder.attemptEnded({ job, outcome: 'released', tookMs: 300, isFinal: false })
    await recorder.flush()
  }
  now += minuteMs
  one.attemptEnded({ job, outcome: error, tookMs: 100, isFinal: true })
  assert.is(one.current('b'), null)
  assert.is(one.current('a')?.at, 10 * minuteMs, 'a minute goes on until it is written')
  await one.flush()
  await one.flush()
  assert.equal(
    written.map(({ at }) => at / minuteMs),
    [10, 10, 10],
  )
  const [step, ...more] = sumUp(written, minuteMs)
  assert.equal(more, [])
  if (step === undefined) throw new Error('no step')
  const { waitMs, runMs, ...counts } = step
  assert.equal(counts, { at: 10 * minuteMs, started: 2, completed: 2, failed: 1, retried: 2 })
  assert.equal([waitMs.count, runMs.count], [5, 5])
  for (const [shown, ms] of [
    [waitMs.p50, 8],
    [runMs.p50, 100],
    [runMs.p99, 200],
  ]) {
    assert.ok(Math.abs(Number(shown) / Number(ms) - 1) < 0.06, `${shown} for ${ms}`)
  }
})

async function recent(service: Service): Promise<RecentView> {
  return (await (await service.get('/stats/recent')).json()) as RecentView
}

test('names the jobs on the threads, and counts attempts by task', async () => {
  await using service = await startService()
  const empty = await recent(service)
  assert.equal(
    empty.events.map(({ kind, count }) => [kind, count]),
    [['started', 1]],
  )
  assert.equal([empty.running, empty.tasks, empty.firstResponseMs], [[], [], { count: 0, p50: null, p99: null }])
  const failing = { name: 'fail', maxAttempts: 1 }
  const tasks = [{ name: 'echo' }, { name: 'wait', input: { ms: 60_000 } }, failing, failing]
  const { id } = await readRun(await service.post('/run-tasks', { tasks }))
  const figures = await until('three have ended, and one runs', async () => {
    const now = await recent(service)
    return now.tasks.find(({ name }) => name === 'fail')?.failed === 2 && now.running.length === 1 && now
  })
  const [{ runId, jobIndex, task, attempt, thread, startedAt } = {}] = figures.running
  assert.equal([runId, jobIndex, task, attempt], [id, 1, 'wait', 1])
  assert.match(thread ?? '', /^worker-/)
  assert.ok(Math.abs(Date.now() - Date.parse(startedAt ?? '')) < 60_000)
  const echo = figures.tasks.find(({ name }) => name === 'echo')
  assert.equal([echo?.completed, echo?.failed, echo?.runMs.count, echo?.waitMs.count], [1, 0, 1, 0])
  assert.is(figures.firstResponseMs.count, 1)
  assert.is(figures.queueWaitMs.count, 2)
  await service.post(`/runs/${id}/cancel`)
  await until('nothing runs', async () => (await recent(service)).running.length === 0)
})

test.run()
