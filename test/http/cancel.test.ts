/** Cancelling on request: waiting and running jobs, on threads and on the main one. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { jobAt, readProblem, readRun } from '../harness/run.ts'
import { startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const wait = { name: 'wait', input: { ms: 60_000 } }
const spin = { name: 'spin', input: { ms: 60_000 } }

test('a run is cancelled at once: waiting jobs never start, running ones are stopped', async () => {
  await using service = await startService({ threads: 1 })
  const body = { respond: 'none', tasks: [wait, spin, spin] }
  const accepted = await readRun(await service.post('/run-tasks', body))
  const path = `/runs/${accepted.id}`
  await until('two jobs run', async () => {
    const { jobs } = await readRun(await service.get(path))
    return jobs.filter(({ state }) => state === 'running').length === 2
  })
  const response = await service.post(`${path}/cancel`)
  assert.is(response.status, 202)
  const run = await readRun(response)
  assert.is(run.state, 'cancelled')
  assert.equal(new Set(run.jobs.map(({ state }) => state)), new Set(['cancelled']))
  assert.is(jobAt(run, 2).startedAt, null)
  assert.is(Reflect.get(Object(jobAt(run, 0).error), 'code'), 'cancelled')

  // The endless job's thread is free again, so another run of that kind is done.
  const next = await readRun(
    await service.post('/run-tasks', { respond: 'all', tasks: [{ name: 'spin', input: { ms: 1 } }] }),
  )
  assert.equal(next.results, [true])
  assert.is((await service.post(`${path}/cancel`)).status, 200)
})

test('one job is cancelled and the others go on', async () => {
  await using service = await startService()
  const tasks = [{ name: 'echo', input: 'first' }, wait, { name: 'wait', input: { ms: 1 } }]
  const { id } = await readRun(await service.post('/run-tasks', { tasks }))
  assert.is((await service.post(`/runs/${id}/jobs/1/cancel`)).status, 202)
  const run = await until('the run is final', async () => {
    const current = await readRun(await service.get(`/runs/${id}`))
    return current.state !== 'running' && current
  })
  assert.is(run.state, 'cancelled')
  assert.equal(
    run.jobs.map(({ state }) => state),
    ['completed', 'cancelled', 'completed'],
  )
})

test('a first job that is cancelled is answered as failed, and hears its signal', async () => {
  await using service = await startService()
  const asked = service.post('/run-tasks', { tasks: [wait] })
  const id = await until('the run is there', async () => {
    const list: { runs: { id: string }[] } = JSON.parse(await (await service.get('/runs')).text())
    return list.runs[0]?.id
  })
  assert.is((await service.post(`/runs/${id}/cancel`)).status, 202)
  const response = await asked
  assert.is(response.status, 500)
  const problem = await readProblem(response)
  assert.is(problem.type, '/problems/first-task-failed')
  assert.is(Reflect.get(Object(problem.error), 'code'), 'cancelled')
})

test('what has ended cannot be cancelled, and what is not there is not found', async () => {
  await using service = await startService()
  const { id } = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo' }] }))
  for (const path of [`/runs/${id}/cancel`, `/runs/${id}/jobs/0/cancel`]) {
    const response = await service.post(path)
    assert.is(response.status, 409)
    assert.is((await readProblem(response)).type, '/problems/not-cancellable')
  }
  assert.is((await service.post(`/runs/${id}/jobs/1/cancel`)).status, 404)
  assert.is((await service.post(`/runs/${id}/jobs/x/cancel`)).status, 404)
  assert.is((await service.post('/runs/nothing/cancel')).status, 404)
})

test.run()
