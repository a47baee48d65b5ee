/** Prefer on POST /run-tasks: how long the caller waits, and how much it wants to read. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { jobAt, readRun } from '../harness/run.ts'
import { shareService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const echo = { name: 'echo', input: 'quick' }
const waiting = { name: 'wait', input: { ms: 60_000 } }

test('respond-async: 202 at once, every job in the pool, and the answer is decided later', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { tasks: [echo] }, { Prefer: 'respond-async' })
  assert.is(response.status, 202)
  assert.is(response.headers.get('Preference-Applied'), 'respond-async')
  const { id } = await readRun(response)
  assert.is(response.headers.get('Location'), `/runs/${id}`)
  assert.match(response.headers.get('Retry-After') ?? '', /^\d+$/)
  const run = await until('there is an answer', async () => {
    const now = await readRun(await service.get(`/runs/${id}`))
    return now.answer !== null && now
  })
  assert.equal([run.result, run.answer], ['quick', { mode: 'first', jobIndex: 0 }])
  assert.match(String(jobAt(run, 0).thread), /^worker-/)
})

test('respond-async: 202, however quick the first job is; the same request again gets the answer that is there', async () => {
  await using service = await shareService()
  const post = (Prefer: string, key: string) =>
    service.post('/run-tasks', { tasks: [echo, { name: 'fail' }] }, { Prefer, 'Idempotency-Key': key })
  // Of so many, some have ended before they are read for the response.
  for (let index = 0; index < 20; index += 1) {
    const response = await post(index % 2 === 0 ? 'respond-async' : 'wait=0', `${index}`)
    assert.is(response.status, 202)
    const { id } = await readRun(response)
    await until('it has ended', async () => (await readRun(await service.get(`/runs/${id}`))).state === 'failed')
    const again = await post('respond-async', `${index}`)
    assert.equal([again.status, (await readRun(again)).id], [200, id])
  }
})

test('wait: the answer when it comes in time, else 202, and never an error', async () => {
  await using service = await shareService()
  const inTime = await service.post('/run-tasks', { tasks: [echo] }, { Prefer: 'wait=60' })
  assert.equal([inTime.status, inTime.headers.get('Preference-Applied')], [200, 'wait=60'])
  const late = await service.post('/run-tasks', { tasks: [waiting] }, { Prefer: 'wait=1' })
  assert.equal([late.status, late.headers.get('Preference-Applied')], [202, 'wait=1'])
  assert.is((await readRun(late)).state, 'running')
})

test('wait is capped at 60 seconds, and both together wait', async () => {
  await using service = await shareService()
  const capped = await service.post('/run-tasks', { tasks: [echo] }, { Prefer: 'wait=86400' })
  assert.is(capped.headers.get('Preference-Applied'), 'wait=60')
  const both = await service.post('/run-tasks', { tasks: [echo] }, { Prefer: 'respond-async, wait=30' })
  assert.equal([both.status, (await readRun(both)).result], [200, 'quick'])
  const late = await service.post('/run-tasks', { tasks: [waiting] }, { Prefer: 'respond-async, wait=0' })
  assert.is(late.status, 202)
  assert.match(late.headers.get('Preference-Applied') ?? '', /respond-async/)
})

test('return=minimal: the body is the id, the state and the result', async () => {
  await using service = await shareService()
  const prefer = { Prefer: 'return=minimal' }
  const answered = await service.post('/run-tasks', { tasks: [echo] }, prefer)
  assert.is(answered.headers.get('Preference-Applied'), 'return=minimal')
  const body = (await answered.json()) as { id: string }
  assert.equal(body, { id: body.id, state: 'completed', result: 'quick' })
  const early = await service.post('/run-tasks', { tasks: [waiting] }, { Prefer: 'return=minimal, respond-async' })
  const { id } = (await early.clone().json()) as { id: string }
  assert.equal(await early.json(), { id, state: 'running' })
  const failed = await service.post('/run-tasks', { tasks: [{ name: 'fail' }] }, prefer)
  assert.is(failed.headers.get('Preference-Applied'), null)
  await expectProblem(failed, 'first-task-failed')
})

test('with respond: none there is nothing to wait for', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', { respond: 'none', tasks: [echo] }, { Prefer: 'wait=60' })
  assert.equal([response.status, response.headers.get('Preference-Applied')], [202, null])
})

test('unknown and malformed preferences are ignored', async () => {
  await using service = await shareService()
  for (const Prefer of ['', ',', 'wait', 'wait=x', 'wait=-1', 'wait=1.5', 'handling=lenient', 'return=everything']) {
    const response = await service.post('/run-tasks', { tasks: [echo] }, { Prefer })
    assert.equal([response.status, response.headers.get('Preference-Applied')], [200, null], Prefer)
  }
})

test('the end of a wait does not end the run, and its first job stays where it is', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'wait', input: { ms: 1_500 } }, echo]
  const { id } = await readRun(await service.post('/run-tasks', { tasks }, { Prefer: 'wait=1' }))
  const run = await until('the run has ended', async () => {
    const now = await readRun(await service.get(`/runs/${id}`))
    return now.state === 'completed' && now
  })
  assert.equal([run.result, jobAt(run, 0).thread], [1_500, 'main'])
})

test.run()
