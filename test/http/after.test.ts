/** Tasks that need the results of others, over HTTP: from the request to `context.after` on a thread. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/http/views/run.ts'
import { jobAt, readRun } from '../harness/run.ts'
import { type Service, shareService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const echo = (input: unknown) => ({ name: 'echo', input })

function ended(service: Service, id: string): Promise<RunView> {
  return until('the run has ended', async () => {
    const run = await readRun(await service.get(`/runs/${id}`))
    return run.state !== 'running' && run
  })
}

test('a task gets the results of those named by after, the one of the first included', async () => {
  await using service = await shareService()
  const large = 'x'.repeat(50_000)
  const tasks = [
    echo({ id: 7 }),
    echo(large),
    { name: 'gather', input: 'both', after: [1, 0] },
    { name: 'gather', after: [2] },
    { name: 'gather', after: [] },
  ]
  const { id, result } = await readRun(await service.post('/run-tasks', { tasks }))
  assert.equal(result, { id: 7 })
  const { state, jobs } = await ended(service, id)
  assert.is(state, 'completed')
  const both = { input: 'both', after: [large, { id: 7 }] }
  assert.equal(jobs[2]?.result, both)
  assert.equal(jobs[3]?.result, { input: null, after: [both] })
  assert.equal(jobs[4]?.result, { input: null, after: [] })
})

test('a blocked job shows what it waits for, and a failed one cancels those that wait for it', async () => {
  await using service = await shareService()
  const tasks = [
    echo(1),
    { name: 'fail', maxAttempts: 1, delayMs: 60_000 },
    { name: 'gather', after: [0, 1] },
    { name: 'gather', after: [2] },
  ]
  const { id } = await readRun(await service.post('/run-tasks', { tasks }))
  const run = await readRun(await service.get(`/runs/${id}`))
  assert.equal(
    run.jobs.map(({ state, waiting, after, waitsFor }) => [state, waiting?.reason, after, waitsFor]).slice(1),
    [
      ['queued', 'delay', undefined, []],
      ['blocked', 'blocked', [0, 1], [1]],
      ['blocked', 'blocked', [2], [2]],
    ],
  )
  await service.post(`/runs/${id}/jobs/1/cancel`)
  const { state, jobs } = await ended(service, id)
  assert.is(state, 'cancelled')
  assert.equal(
    jobs.slice(2).map((job) => job.error),
    [
      { code: 'cancelled', message: 'job 1 was cancelled' },
      { code: 'cancelled', message: 'job 2 was cancelled' },
    ],
  )
  const problem = await expectProblem(await service.post(`/runs/${id}/jobs/2/retry`), 'not-retryable')
  assert.match(problem.detail, /ended without a result/)
})

test('the retry of many runs also runs the jobs that waited for the failed ones', async () => {
  await using service = await shareService()
  const tasks = [
    { ...echo('late'), delayMs: 60_000 },
    { name: 'gather', after: [0] },
  ]
  const { id } = await readRun(await service.post('/run-tasks', { tasks, respond: 'none' }))
  await service.post(`/runs/${id}/jobs/0/cancel`)
  assert.is(jobAt(await ended(service, id), 1).error?.message, 'job 0 was cancelled')
  const response = await service.post('/runs/retry?state=cancelled')
  assert.equal(await response.json(), { matched: 1, changed: 1 })
  const { state, jobs } = await ended(service, id)
  assert.is(state, 'completed')
  assert.equal(jobs[1]?.result, { input: null, after: ['late'] })
})

test('after names earlier tasks, each once', async () => {
  await using service = await shareService()
  const entries = [[0], [0, 0], [2], [-1], [0.5], ['0'], 0]
  const tasks = [{ ...echo(1), after: [0] }, ...entries.slice(1).map((after) => ({ ...echo(1), after }))]
  const problem = await expectProblem(await service.post('/run-tasks', { tasks }), 'validation-error')
  assert.equal(
    problem.errors?.map(({ pointer }) => pointer),
    ['/tasks/3/after/0', '/tasks/4/after/0', '/tasks/5/after/0', '/tasks/6/after'],
  )
  const order = {
    tasks: [
      { ...echo(1), after: [0] },
      { ...echo(1), after: [0, 0] },
      { ...echo(1), after: [2] },
    ],
  }
  const { errors } = await expectProblem(await service.post('/run-tasks', order), 'validation-error')
  assert.equal(
    errors?.map(({ pointer }) => pointer),
    ['/tasks/0/after/0', '/tasks/1/after/1', '/tasks/2/after/0'],
  )
})

test.run()
