/** `respond`: which job decides the answer, and what it is when it cannot be had. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobView } from '../../src/http/views/job.ts'
import { jobAt, readRun } from '../harness/run.ts'
import { shareService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }
const failing = { name: 'fail', input: { message: 'on purpose' } }
const echo = (input: unknown) => ({ name: 'echo', input })

test('race: answers with the first job to end, whichever it is', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { respond: 'race', tasks: [waiting, echo('winner'), waiting] })
  assert.is(response.status, 200)
  const run = await readRun(response)
  assert.is(run.result, 'winner')
  assert.equal(run.answer, { mode: 'race', jobIndex: 1 })
  assert.is(run.state, 'running')
  assert.is(jobAt(run, 0).state, 'running')
})

test('race: the answer is a failure when the first job to end has failed', async () => {
  await using service = await shareService()
  const input = { message: 'too late', status: 410 }
  const tasks = [waiting, { name: 'fail', input }]
  const response = await service.post('/run-tasks', { respond: 'race', tasks })
  const problem = await expectProblem(response, 'first-task-failed', 410)
  assert.is(problem.jobIndex, 1)
  assert.is(Reflect.get(Object(problem.error), 'message'), 'too late')
})

test('race: a job that is to be tried again has not ended', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'flaky', maxAttempts: 100 }, waiting]
  const run = await readRun(await service.post('/run-tasks', { respond: 'race', tasks }))
  assert.equal(run.answer, { mode: 'race', jobIndex: 0 })
  assert.is(jobAt(run, 0).attempt, 2)
})

test('any: answers with the first job to succeed', async () => {
  await using service = await shareService()
  const tasks = [failing, waiting, failing, echo('winner')]
  const response = await service.post('/run-tasks', { respond: 'any', tasks })
  assert.is(response.status, 200)
  const run = await readRun(response)
  assert.is(run.result, 'winner')
  assert.equal(run.answer, { mode: 'any', jobIndex: 3 })
  assert.is(run.state, 'running')
})

test('any: the answer is a failure when every job has failed', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { respond: 'any', tasks: [failing, failing, failing] })
  const problem = await expectProblem(response, 'all-tasks-failed')
  assert.is(problem.jobIndex, null)
  assert.equal(statesOf(problem.jobs), ['failed', 'failed', 'failed'])
  const run = await readRun(await service.get(`/runs/${problem.runId}`))
  assert.equal(run.answer, { mode: 'any', jobIndex: null })
  assert.is(run.state, 'failed')
  assert.not('result' in run)
})

test('all: answers with every result in the order of the request', async () => {
  await using service = await shareService()
  const tasks = [echo('a'), { name: 'wait', input: { ms: 20 } }, echo(null), { name: 'nothing' }]
  const response = await service.post('/run-tasks', { respond: 'all', tasks })
  assert.is(response.status, 200)
  const run = await readRun(response)
  assert.equal(run.results, ['a', 20, null, null])
  assert.not('result' in run)
  assert.equal(run.answer, { mode: 'all', jobIndex: null })
  assert.is(run.state, 'completed')
})

test('all: the answer is a failure with all outcomes when one job has failed', async () => {
  await using service = await shareService()
  const tasks = [echo('a'), failing, echo('b')]
  const response = await service.post('/run-tasks', { respond: 'all', tasks })
  const problem = await expectProblem(response, 'tasks-failed')
  assert.equal(statesOf(problem.jobs), ['completed', 'failed', 'completed'])
  const jobs = problem.jobs as JobView[]
  assert.equal(
    jobs.map(({ result }) => result),
    ['a', null, 'b'],
  )
  const run = await readRun(await service.get(`/runs/${problem.runId}`))
  assert.equal(run.jobs, jobs)
  assert.not('results' in run)
})

test('none: responds at once with the address of the run', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { respond: 'none', tasks: [waiting, waiting] })
  assert.is(response.status, 202)
  const run = await readRun(response)
  assert.is(response.headers.get('Location'), `/runs/${run.id}`)
  assert.is(response.headers.get('Content-Location'), `/runs/${run.id}`)
  assert.is(response.headers.get('Link'), `</runs/${run.id}>; rel="monitor"`)
  assert.match(response.headers.get('Retry-After') ?? '', /^[1-9]\d*$/)
  assert.match(response.headers.get('Server-Timing') ?? '', /^commit;dur=\d+\.\d$/)
  assert.is(run.state, 'running')
  assert.is(run.answer, null)
  assert.is(run.respondedAt, null)
  assert.not('result' in run)
})

test('none: runs every job in the pool, and only the run shows a failure', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'where' }, { name: 'where' }, failing]
  const { id } = await readRun(await service.post('/run-tasks', { respond: 'none', tasks }))
  const run = await until('the run has ended', async () => {
    const now = await readRun(await service.get(`/runs/${id}`))
    return now.state !== 'running' && now
  })
  assert.is(run.state, 'failed')
  assert.is(run.answer, null)
  assert.not('result' in run)
  for (const job of run.jobs) assert.match(job.thread ?? '', /^worker-\d+$/)
})

test('an answer does not change once it is decided', async () => {
  await using service = await shareService()
  const tasks = [echo('answer'), { ...failing, input: { message: 'later' } }]
  for (const respond of ['first', 'any']) {
    const { id, respondedAt } = await readRun(await service.post('/run-tasks', { respond, tasks }))
    const run = await until('the run has ended', async () => {
      const now = await readRun(await service.get(`/runs/${id}`))
      return now.state !== 'running' && now
    })
    assert.is(run.state, 'failed')
    assert.is(run.result, 'answer')
    assert.equal(run.answer, { mode: respond, jobIndex: 0 })
    assert.is(run.respondedAt, respondedAt)
  }
})

function statesOf(jobs: unknown): string[] {
  return (jobs as JobView[]).map(({ state }) => state)
}

test.run()
