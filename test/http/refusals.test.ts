/** What is refused for now leaves nothing behind, and a stopping service tells everybody who waits. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attend } from '../fixtures/tasks/meet.ts'
import { listRuns, readRun } from '../harness/run.ts'
import { shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const waiting = { name: 'wait', input: { ms: 60_000 } }
const echo = { name: 'echo' }
const maxBacklog = 4

test('takes jobs up to its backlog and refuses the run that would go beyond, whole', async () => {
  await using service = await shareService({ maxBacklog })
  const submit = (count: number) =>
    service.post('/run-tasks', { respond: 'none', tasks: Array.from({ length: count }, () => waiting) })
  await expectProblem(await submit(5), 'overloaded')
  assert.is((await submit(3)).status, 202)
  const refused = await submit(2)
  assert.match(refused.headers.get('Retry-After') ?? '', /^[1-9]\d*$/)
  const { runId, instance } = await expectProblem(refused, 'overloaded')
  assert.is(runId, undefined)
  assert.is(instance, '/run-tasks')
  assert.is((await listRuns(service)).length, 1)
  assert.is((await submit(1)).status, 202)
  await expectProblem(await submit(1), 'overloaded')
})

test('takes runs again when jobs have ended', async () => {
  await using service = await shareService({ maxBacklog })
  const meeting = { meeting: `${service.url}/full`, count: 2 }
  const full = service.post('/run-tasks', { tasks: [{ name: 'meet', input: meeting }, waiting, waiting, waiting] })
  await until('the backlog is full', async () => (await listRuns(service)).length === 1)
  await expectProblem(await service.post('/run-tasks', { tasks: [echo] }), 'overloaded')
  await attend(meeting, 'the test')
  assert.is((await full).status, 200)
  assert.is((await service.post('/run-tasks', { tasks: [echo] })).status, 200)
})

test('does not go beyond its backlog when many ask at once', async () => {
  await using service = await shareService({ maxBacklog })
  const tasks = [waiting, waiting]
  const asked = Array.from({ length: 20 }, () => service.post('/run-tasks', { respond: 'none', tasks }))
  const statuses = (await Promise.all(asked)).map(({ status }) => status)
  assert.is(statuses.filter((status) => status === 202).length, 2)
  assert.is(statuses.filter((status) => status === 503).length, 18)
  assert.is((await listRuns(service)).length, 2)
})

test('reports errors of a request before a lack of room', async () => {
  await using service = await shareService({ maxBacklog })
  const response = await service.post('/run-tasks', { tasks: [{ name: 'nope' }, echo, echo, echo, echo] })
  await expectProblem(response, 'unknown-task')
})

test('on a stop, sends waiting callers the address of their run', async () => {
  await using service = await startService()
  const posted = service.post('/run-tasks', { tasks: [waiting] })
  const { id } = await until('the run is there', async () => (await listRuns(service))[0])
  await service.app.drain()
  const response = await posted
  assert.is(response.status, 202)
  assert.is(response.headers.get('Location'), `/runs/${id}`)
  assert.ok(response.headers.has('Retry-After'))
  const run = await readRun(response)
  assert.is(run.id, id)
  assert.is(run.answer, null)
  assert.is(run.jobs[0]?.state, 'queued', 'the job was handed back')
  assert.is(run.jobs[0]?.attempt, 0, 'and no attempt was spent')
})

test.run()
