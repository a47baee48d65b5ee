/** `respond: first`: what the caller is told when the first job fails, is tried again, or runs out of time. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { jobAt, readRun } from '../harness/run.ts'
import { shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }

test('responds with the error of a failed first job and its run, and continues the others', async () => {
  await using service = await shareService()
  const input = { message: 'no such order', code: 'ORDER_MISSING', cause: { message: 'row 7', code: 1 } }
  const response = await service.post('/run-tasks', { tasks: [{ name: 'fail', input }, waiting] })
  const problem = await expectProblem(response, 'first-task-failed')
  const { runId } = problem
  assert.equal(problem.error, {
    code: 'task_error',
    message: 'no such order',
    name: 'Error',
    taskCode: 'ORDER_MISSING',
    cause: { message: 'row 7', taskCode: 1 },
  })
  assert.is(problem.jobIndex, 0)
  assert.is(problem.instance, `/runs/${runId}`)
  assert.ok(problem.detail.includes('no such order'))
  assert.is(response.headers.get('Content-Location'), `/runs/${runId}`)
  assert.is(response.headers.get('Link'), `</runs/${runId}>; rel="monitor"`)

  const run = await readRun(await service.get(`/runs/${runId}`))
  assert.is(run.state, 'running')
  assert.equal(run.answer, { mode: 'first', jobIndex: 0 })
  assert.not('result' in run)
  const { state, result, error, failures, finishedAt } = jobAt(run, 0)
  assert.is(state, 'failed')
  assert.is(result, null)
  assert.equal(error, problem.error)
  assert.is(finishedAt, run.respondedAt)
  assert.equal(
    failures?.map((failure) => Reflect.get(failure, 'error') as unknown),
    [problem.error],
  )
})

test('uses the status of the error if it is safe for clients, and 500 otherwise', async () => {
  await using service = await shareService()
  for (const status of [400, 403, 404, 418, 422]) {
    const response = await service.post('/run-tasks', { tasks: [{ name: 'fail', input: { status } }] })
    const { error } = await expectProblem(response, 'first-task-failed', status)
    assert.is(Reflect.get(Object(error), 'status'), status)
  }
  for (const status of [200, 302, 399, 401, 404.5, 405, 407, 408, 425, 426, 429, 499, 500, 503, '404', null]) {
    const response = await service.post('/run-tasks', { tasks: [{ name: 'fail', input: { status } }] })
    const { error } = await expectProblem(response, 'first-task-failed', 500)
    if (Number.isFinite(status)) assert.is(Reflect.get(Object(error), 'status'), status)
  }
})

test('retries the first job in the pool if its request allows it, and responds with the outcome', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { tasks: [{ name: 'flaky', maxAttempts: 2 }] })
  assert.is(response.status, 200)
  const run = await readRun(response)
  assert.equal(run.result, { attempt: 2, isMainThread: false })
  const { state, thread, attempt, maxAttempts, failures, error } = jobAt(run, 0)
  assert.equal({ state, attempt, maxAttempts, error }, { state: 'completed', attempt: 2, maxAttempts: 2, error: null })
  assert.match(thread ?? '', /^worker-\d+$/)
  assert.is(failures?.length, 1)
  assert.is(Reflect.get(failures?.[0] ?? {}, 'attempt'), 1)
})

test('does not try the first job again unless its request says so', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { tasks: [{ name: 'flaky' }] })
  const { runId } = await expectProblem(response, 'first-task-failed')
  const run = await readRun(await service.get(`/runs/${runId}`))
  assert.is(run.state, 'failed')
  assert.is(jobAt(run, 0).attempt, 1)
})

test('answers when the last attempt of the first job has failed, and keeps each failure', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { tasks: [{ name: 'fail', maxAttempts: 2 }] })
  const { runId } = await expectProblem(response, 'first-task-failed')
  const { attempt, failures } = jobAt(await readRun(await service.get(`/runs/${runId}`)), 0)
  assert.is(attempt, 2)
  assert.equal(
    failures?.map((failure) => Reflect.get(failure, 'attempt') as unknown),
    [1, 2],
  )
})

test('does not retry an error that is not retryable', async () => {
  await using service = await shareService()
  const useless = { name: 'fail', maxAttempts: 5, input: { retryable: false } }
  const response = await service.post('/run-tasks', { tasks: [useless, useless] })
  const { runId } = await expectProblem(response, 'first-task-failed')
  const run = await until('the run has ended', async () => {
    const now = await readRun(await service.get(`/runs/${runId}`))
    return now.state !== 'running' && now
  })
  assert.equal(
    run.jobs.map(({ attempt, maxAttempts, state }) => ({ attempt, maxAttempts, state })),
    [0, 1].map(() => ({ attempt: 1, maxAttempts: 5, state: 'failed' })),
  )
})

test('answers a first job that is out of time', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { tasks: [{ ...waiting, timeoutMs: 1 }] })
  const { error } = await expectProblem(response, 'first-task-failed')
  assert.is(Reflect.get(Object(error), 'code'), 'timeout')
})

test('shows no stack to callers', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { tasks: [{ name: 'fail', input: { cause: { message: 'x' } } }] })
  const { runId } = await expectProblem(response, 'first-task-failed')
  const text = await (await service.get(`/runs/${runId}`)).text()
  assert.not(text.includes('stack'))
})

test('shows stacks wherever errors are shown if the log level is debug', async () => {
  await using service = await startService({ logLevel: 'debug' })
  const response = await service.post('/run-tasks', { tasks: [{ name: 'fail' }] })
  const { runId, error } = await expectProblem(response, 'first-task-failed')
  const stack = error?.stack ?? 'none'
  assert.match(stack, /^Error: failed on purpose\n +at /)
  const { jobs } = await readRun(await service.get(`/runs/${runId}`))
  assert.equal([jobs[0]?.error?.stack, jobs[0]?.failures?.[0]?.error.stack], [stack, stack])
  for (const path of [`/runs/${runId}/jobs/0`, `/runs/${runId}/events`]) {
    assert.ok((await (await service.get(path)).text()).includes(JSON.stringify(stack)), path)
  }
})

test('onFirstFailure: cancel cancels the other jobs when the first one fails', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'fail' }, waiting, { ...waiting, delayMs: 60_000 }, { name: 'echo', delayMs: 60_000 }]
  for (const [respond, code] of [
    ['first', 'first-task-failed'],
    ['any', 'all-tasks-failed'],
    ['all', 'tasks-failed'],
  ] as const) {
    const body = { respond, onFirstFailure: 'cancel', tasks }
    const { runId } = await expectProblem(await service.post('/run-tasks', body), code)
    const run = await readRun(await service.get(`/runs/${runId}`))
    assert.is(run.state, 'failed')
    assert.equal(
      run.jobs.map(({ state, error }) => [state, error?.code]),
      [['failed', 'task_error'], ...[1, 2, 3].map(() => ['cancelled', 'cancelled'])],
    )
  }
})

test('onFirstFailure: cancel leaves the other jobs alone while the first is tried again', async () => {
  await using service = await shareService()
  const tasks = [
    { name: 'flaky', maxAttempts: 2 },
    { ...waiting, delayMs: 60_000 },
  ]
  const run = await readRun(await service.post('/run-tasks', { onFirstFailure: 'cancel', tasks }))
  assert.equal([run.state, jobAt(run, 1).state], ['running', 'queued'])
})

test.run()
