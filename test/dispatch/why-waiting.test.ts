/** Why a job does not run yet, as the process that answers sees it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createTaskLimits, type TaskLimitsOptions } from '../../src/dispatch/task-limits.ts'
import type { WhyWaiting } from '../../src/domain/job.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { startDispatchService } from './dispatch-service.ts'

const now = 1_000

const known = ['full', 'open', 'rated'].map((name) => {
  const rate = name === 'full' ? null : { limit: 3, perMs: 50 }
  return { name, policy: { concurrency: 2, isolation: 'thread', rate } }
})

function why(task: string, job: Partial<Parameters<WhyWaiting>[0]> = {}): ReturnType<WhyWaiting> {
  const limits = createTaskLimits({
    clock: { now: () => now },
    registry: { all: () => known, get: (name: string) => known.find((one) => one.name === name) },
    store: { pausedTasks: () => new Set(['paused']) },
  } as unknown as TaskLimitsOptions)
  for (const running of ['full', 'full', 'open']) limits.noteStart(running)
  limits.noteRates({ rated: now + 5 })
  return limits.whyWaiting({ state: 'queued', runAt: now, task, ...job })
}

test('each reason, the one that holds first', () => {
  assert.equal(why('gone', { state: 'blocked', runAt: null }), { reason: 'blocked' })
  assert.equal(why('gone', { runAt: now + 1 }), { reason: 'delay', until: now + 1 })
  assert.equal(why('full', { state: 'retrying', runAt: now + 1 }), { reason: 'retry', until: now + 1 })
  assert.equal(why('paused', { state: 'retrying' }), { reason: 'paused' })
  assert.equal(why('gone'), { reason: 'unknown-task' })
  assert.equal(why('full', { state: 'retrying' }), { reason: 'limit', limit: 2 })
  assert.equal(why('rated'), { reason: 'rate', limit: 3, perMs: 50, until: now + 5 })
  assert.equal(why('open'), { reason: 'thread' })
  assert.is(why('open', { state: 'running', runAt: null }), null)
})

test('a run says it of each of its jobs', async () => {
  await using dispatch = await startDispatchService()
  const meetings = [0, 1, 2, 3].map((index) => `${dispatch.service.url}/why/${index}`)
  const tasks = meetings.map((input) => ({ name: 'limited-io', input }))
  const id = await dispatch.accept(...tasks.slice(0, 3), { ...tasks[3], delayMs: 60_000 })
  const { jobs } = await dispatch.runWhen(id, 'two run', (run) => {
    return run.jobs.filter(({ state }) => state === 'running').length === 2
  })
  assert.equal(
    jobs.map(({ waiting }) => waiting?.reason ?? null),
    [null, null, 'limit', 'delay'],
  )
  assert.is(jobs[2]?.waiting?.limit, 2)
  assert.is(jobs[3]?.waiting?.until, jobs[3]?.runAt)
  await dispatch.service.post(`/runs/${id}/jobs/2/cancel`)
  await dispatch.service.post(`/runs/${id}/jobs/3/cancel`)
  for (const meeting of meetings.slice(0, 2)) await attend({ meeting, count: 2 }, 'the test')
})

test.run()
