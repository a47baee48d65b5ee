/** Steps of tasks, from `context.step` on each kind of thread to what readers see. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobView } from '../../src/http/views/job.ts'
import type { RunView } from '../../src/http/views/run.ts'
import { openEvents } from '../harness/event-client.ts'
import { jobAt, listRuns, readRun } from '../harness/run.ts'
import { type Service, shareService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const abc = ['a', 'b', 'c']

function ended(service: Service, id: string): Promise<RunView> {
  return until('the run has ended', async () => {
    const run = await readRun(await service.get(`/runs/${id}`))
    return run.state !== 'running' && run
  })
}

async function endOf(service: Service, tasks: readonly object[], respond = 'none'): Promise<RunView> {
  const { id } = await readRun(await service.post('/run-tasks', { tasks, respond }))
  return ended(service, id)
}

const namesOf = ({ steps }: JobView) => steps?.map(({ name }) => name)

test('a step that was stored is not run by a later attempt, wherever the first one ran', async () => {
  await using service = await shareService()
  const input = { names: abc, failAfter: 2 }
  const tasks = [
    { name: 'stepwise', input, maxAttempts: 2 },
    { name: 'stepwise', input },
    { name: 'stepwise-cpu', input },
    { name: 'stepwise-process', input },
  ]
  const { jobs } = await endOf(service, tasks, 'first')
  for (const job of jobs) {
    assert.equal(
      job.failures?.map(({ error }) => error.message),
      ['ran a, b'],
    )
    assert.equal(job.result, { ran: ['c'], attempts: [1, 1, 2] })
    assert.equal(namesOf(job), abc)
  }
})

test('steps that run at once are all stored, on each kind of thread', async () => {
  await using service = await shareService()
  const names = Array.from({ length: 60 }, (_, index) => `step ${index}`)
  const input = { names, isTogether: true }
  const tasks = ['stepwise', 'stepwise', 'stepwise-cpu', 'stepwise-process'].map((name) => ({ name, input }))
  const { jobs } = await endOf(service, tasks, 'first')
  for (const job of jobs) {
    assert.equal(Reflect.get(Object(job.result), 'ran'), names)
    assert.equal(namesOf(job)?.toSorted(), names.toSorted())
  }
})

test('a run, its job and its events have the steps with their instants, and lists leave them out', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'stepwise', input: { names: abc } }, { name: 'echo' }]
  const { id } = await readRun(await service.post('/run-tasks', { tasks, respond: 'none' }))
  await using events = await openEvents(`${service.url}/runs/${id}/events`)
  const last = (await events.rest()).at(-1)
  const shown = await readRun(await service.get(`/runs/${id}`))
  assert.equal(last?.type === 'run' && last.run.jobs, shown.jobs)
  const [stepwise, echo] = shown.jobs
  assert.equal(stepwise && namesOf(stepwise), abc)
  assert.equal(echo?.steps, [])
  for (const { finishedAt } of stepwise?.steps ?? []) {
    assert.ok(finishedAt >= String(stepwise?.startedAt) && finishedAt <= String(stepwise?.finishedAt))
  }
  const job = (await (await service.get(`/runs/${id}/jobs/0`)).json()) as JobView
  assert.equal(job.steps, stepwise?.steps)
  const [listed] = await listRuns(service)
  for (const one of listed?.jobs ?? []) assert.not(Object.hasOwn(one, 'steps'))
})

test('a requested retry of a finished job starts without its steps', async () => {
  await using service = await shareService()
  const task = { name: 'stepwise', input: { names: abc, failAfter: 2 }, maxAttempts: 1 }
  const { id, jobs } = await endOf(service, [task])
  assert.equal([jobs[0]?.error?.message, jobs[0] && namesOf(jobs[0])], ['ran a, b', ['a', 'b']])
  assert.is((await service.post(`/runs/${id}/jobs/0/retry`)).status, 202)
  const again = jobAt(await ended(service, id), 0)
  assert.equal(
    again.failures?.map(({ error }) => error.message),
    ['ran a, b', 'ran a, b'],
  )
})

test('a value beyond 64 KiB fails the job at once, with the name of its step and its size', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'stepwise', input: { names: ['big'], bytes: 65_536 } }]
  const { state, jobs } = await endOf(service, tasks)
  assert.is(state, 'failed')
  assert.is(jobs[0]?.error?.code, 'task_error')
  assert.match(jobs[0]?.error?.message ?? '', /^step "big": its value has 655\d\d bytes as JSON; 65536 are allowed$/)
  assert.is(jobs[0]?.attempt, 1, 'another attempt would come to the same')
  assert.equal(jobs[0] && namesOf(jobs[0]), [])
})

test('a job has 1,000 steps, and one more fails it', async () => {
  await using service = await shareService()
  const names = Array.from({ length: 1_001 }, (_, index) => `${index}`)
  const { jobs } = await endOf(service, [{ name: 'stepwise-cpu', input: { names, isTogether: true } }])
  assert.is(jobs[0]?.error?.message, 'step "1000": a job can have 1000 steps at most')
  const { length: stored } = jobs[0]?.steps ?? []
  assert.ok(stored <= 1_000, `${stored} are stored`)
})

test.run()
