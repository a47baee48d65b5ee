/** What a cancel does to a job that waits, and to the threads of those that run. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attend } from '../fixtures/tasks/meet.ts'
import { startDispatchService, type DispatchService } from './dispatch-service.ts'

/** Far below the time that those jobs may take, and far above what an ending needs on a busy machine. */
const soonMs = 15_000

/** Cancels a job that runs; resolves when its thread or lane has run another job of that kind, to that one's result. */
async function cancelRunning({ service, accept, runWhen, ended }: DispatchService, task: object, next: string) {
  const id = await accept(task)
  // A job is running before its module is loaded; one that is cancelled by then is not begun, and costs no thread.
  await runWhen(id, 'it has begun', ({ jobs }) => jobs[0]?.progress === 0.5)
  const cancelledAt = performance.now()
  assert.is((await service.post(`/runs/${id}/cancel`)).status, 202)
  const { result } = await ended(await accept({ name: next }))
  assert.ok(performance.now() - cancelledAt < soonMs)
  const job = await ended(id)
  assert.is(job.state, 'cancelled')
  assert.is(Reflect.get(Object(job.error), 'code'), 'cancelled')
  return result
}

test('a waiting job that is cancelled never starts', async () => {
  await using dispatch = await startDispatchService({ ioConcurrency: 1 })
  const { service, accept, runWhen, ended } = dispatch
  const meeting = `${service.url}/cancel`
  const holder = await accept({ name: 'meets-io', input: { meeting, count: 2 } })
  await runWhen(holder, 'the only lane is taken', ({ jobs }) => jobs[0]?.state === 'running')
  const waiting = await accept({ name: 'numbered-io' })
  const next = await accept({ name: 'numbered-io' })
  assert.is((await service.post(`/runs/${waiting}/cancel`)).status, 202)
  await attend({ meeting, count: 2 }, 'the test')
  assert.is((await ended(next)).result, 1, 'it is the first that its thread has run')
  const { state, attempt, startedAt, thread } = await ended(waiting)
  assert.equal({ state, attempt, startedAt, thread }, { state: 'cancelled', attempt: 0, startedAt: null, thread: null })
})

test('a running cpu job that is cancelled loses its thread, and a new one takes the next job', async () => {
  await using dispatch = await startDispatchService()
  assert.is((await dispatch.ended(await dispatch.accept({ name: 'numbered-cpu' }))).result, 1)
  assert.is(await cancelRunning(dispatch, { name: 'loops-cpu' }, 'numbered-cpu'), 1)
})

test('a running io job that heeds its cancel leaves its lane, and the thread is the same', async () => {
  await using dispatch = await startDispatchService({ ioConcurrency: 1 })
  assert.is((await dispatch.ended(await dispatch.accept({ name: 'numbered-io' }))).result, 1)
  assert.is(await cancelRunning(dispatch, { name: 'waits-io', input: { ms: 60_000 } }, 'numbered-io'), 2)
})

test('a running io job that does not heed its cancel has its thread replaced', async () => {
  await using dispatch = await startDispatchService({ ioConcurrency: 1 })
  assert.is((await dispatch.ended(await dispatch.accept({ name: 'numbered-io' }))).result, 1)
  assert.is(await cancelRunning(dispatch, { name: 'deaf-io' }, 'numbered-io'), 1)
})

test.run()
