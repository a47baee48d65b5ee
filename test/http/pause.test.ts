/** POST /tasks/{name}/pause and /resume: which requests a paused task refuses, and what waits for its return. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { respondModes } from '../../src/domain/run.ts'
import type { TaskListView, TaskView } from '../../src/http/views/stats.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { countJobs, jobAt, readRun } from '../harness/run.ts'
import { shareService, type Service } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const echo = (input: unknown) => ({ name: 'echo', input })
const sum = { name: 'sum', input: { numbers: [1, 2] } }

async function change(service: Service, task: string, how: 'pause' | 'resume'): Promise<TaskView> {
  const response = await service.post(`/tasks/${task}/${how}`)
  assert.is(response.status, 200)
  return (await response.json()) as TaskView
}

async function pausedTasks(service: Service): Promise<string[]> {
  const { tasks } = (await (await service.get('/tasks')).json()) as TaskListView
  return tasks.flatMap(({ name, paused }) => (paused ? [name] : []))
}

test('pauses and resumes a task, repeatedly; an unknown task is not found', async () => {
  await using service = await shareService()
  for (const how of ['pause', 'pause', 'resume', 'resume'] as const) {
    const { name, paused, kind } = await change(service, 'echo', how)
    assert.equal([name, paused, kind], ['echo', how === 'pause', 'cpu'])
    assert.equal(await pausedTasks(service), how === 'pause' ? ['echo'] : [])
    const metrics = await (await service.get('/metrics')).text()
    assert.is(metrics.includes('forerunner_task_paused{task="echo"} 1'), how === 'pause')
    for (const unknown of ['gone', 'constructor', 'a%20b', 'a'.repeat(10_000)]) {
      await expectProblem(await service.post(`/tasks/${unknown}/${how}`), 'task-not-found')
    }
  }
  await expectProblem(await service.get('/tasks/echo/pause'), 'method-not-allowed')
})

test('a run whose first task is paused is refused before anything is written, unless respond is none', async () => {
  await using service = await shareService()
  const key = { 'Idempotency-Key': 'earlier' }
  const earlier = await readRun(await service.post('/run-tasks', { tasks: [echo(1)] }, key))
  await change(service, 'echo', 'pause')
  const before = await countJobs(service)
  for (const respond of respondModes.filter((mode) => mode !== 'none')) {
    for (const headers of [undefined, { 'Idempotency-Key': respond }, { Prefer: 'respond-async' }]) {
      const response = await service.post('/run-tasks', { respond, tasks: [echo(1), sum] }, headers)
      assert.match((await expectProblem(response, 'task-paused')).detail, /echo/)
    }
  }
  assert.is(await countJobs(service), before)
  const replayed = await service.post('/run-tasks', { tasks: [echo(1)] }, key)
  assert.equal([replayed.status, replayed.headers.get('Idempotency-Replayed')], [200, 'true'])
  assert.is((await readRun(replayed)).id, earlier.id)
  await expectProblem(await service.post('/run-tasks', { tasks: [echo(2)] }, key), 'idempotency-key-reused')
  await expectProblem(await service.post('/run-tasks', { tasks: [{ ...echo(1), priority: 10 }] }), 'validation-error')

  const accepted = await readRun(await service.post('/run-tasks', { respond: 'none', tasks: [echo(1), sum] }))
  const waiting = await until('the other job has ended', async () => {
    const run = await readRun(await service.get(`/runs/${accepted.id}`))
    return jobAt(run, 1).state === 'completed' && run
  })
  assert.equal([jobAt(waiting, 0).state, jobAt(waiting, 0).waiting], ['queued', { reason: 'paused' }])
  await change(service, 'echo', 'resume')
  await until('the run has ended', async () => (await readRun(await service.get(`/runs/${accepted.id}`))).finishedAt)
  const again = await service.post('/run-tasks', { tasks: [echo(1), sum] }, { 'Idempotency-Key': 'first' })
  assert.is((await readRun(again)).result, 1)
})

test('later entries of a paused task wait, and the answer waits for those that it needs', async () => {
  await using service = await shareService()
  await change(service, 'sum', 'pause')
  const tasks = [echo(1), sum]
  for (const respond of ['first', 'race', 'any']) {
    const run = await readRun(await service.post('/run-tasks', { respond, tasks }))
    assert.equal([run.result, run.state, jobAt(run, 1).waiting], [1, 'running', { reason: 'paused' }])
  }
  const answer = service.post('/run-tasks', { respond: 'all', tasks })
  const early = await service.post('/run-tasks', { respond: 'all', tasks }, { Prefer: 'wait=0' })
  assert.is(early.status, 202)
  await change(service, 'sum', 'resume')
  assert.equal((await readRun(await answer)).results, [1, 3])
})

test('a running job continues, and its next attempt waits', async () => {
  await using service = await shareService()
  const meeting = `${service.url}/pause`
  const tasks = [
    { name: 'meet', input: { meeting, count: 2 } },
    { name: 'flaky', maxAttempts: 100 },
  ]
  const { id } = await readRun(await service.post('/run-tasks', { respond: 'none', tasks }))
  const read = async () => readRun(await service.get(`/runs/${id}`))
  await until('the first runs and the other one is to be tried again', async () => {
    const run = await read()
    return jobAt(run, 0).state === 'running' && jobAt(run, 1).attempt > 0
  })
  for (const task of ['meet', 'flaky']) await change(service, task, 'pause')
  await attend({ meeting, count: 2 }, 'the test')
  await until('the first has ended', async () => jobAt(await read(), 0).state === 'completed')
  for (const task of ['meet', 'flaky']) await change(service, task, 'resume')
  const { state } = await until('both have ended', async () => {
    const run = await read()
    return run.finishedAt !== null && run
  })
  assert.is(state, 'completed')
})

test.run()
