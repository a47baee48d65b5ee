/** The details of an error survive the way between the threads. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openPool } from '../harness/pool.ts'

test('name, code, status, causes and stack of a thrown error are kept', async () => {
  await using opened = await openPool()
  const outcome = await opened.outcomeOf({ task: 'misbehave-cpu', input: 'throws a custom error' })
  assert.not.ok(outcome.ok)
  if (outcome.ok) return
  const { stack, cause, ...error } = outcome.error
  assert.equal(error, { code: 'task_error', name: 'QuotaError', message: 'too much', taskCode: 'E_QUOTA', status: 429 })
  assert.match(stack ?? '', 'misbehaviours.ts')
  assert.is(cause?.name, 'TypeError')
  assert.is(cause?.message, 'the disk')
  assert.match(cause?.cause?.message ?? '', 'a string')
})

test('a task can mark an error as not retryable', async () => {
  await using opened = await openPool()
  const useless = await opened.outcomeOf({ task: 'misbehave-cpu', input: 'throws what is not worth retrying' })
  assert.is(!useless.ok && useless.isRetryable, false)
  const ordinary = await opened.outcomeOf({ task: 'misbehave-cpu', input: 'throws a custom error' })
  assert.is(!ordinary.ok && ordinary.isRetryable, true)
})

test('the error of a memory hog names the memory that it took and its limit', async () => {
  await using opened = await openPool()
  const outcome = await opened.outcomeOf({ task: 'misbehave-cpu', input: 'hoards buffers' })
  assert.match((!outcome.ok && outcome.error.message) || '', /took \d+ MiB; 64 MiB are allowed/)
})

test('a module that cannot be loaded on a thread fails its job', async () => {
  await using opened = await openPool()
  const outcome = await opened.outcomeOf({ task: 'loads-badly-cpu' })
  const { message = '', stack = '' } = outcome.ok ? {} : outcome.error
  assert.match(stack, /loads-badly-\w+\.ts: cannot be loaded: cannot be loaded here/)
  assert.not.match(message, '/', 'no path is told')
  await opened.whole()
})

test('an error after the end of its job does not fail the next job', async () => {
  await using opened = await openPool()
  const first = await opened.start({ task: 'misbehave-cpu', input: 'throws in a timer after its end' })
  await first.outcome
  const next = await opened.outcomeOf({ task: 'misbehave-cpu', input: 'waits a little' })
  assert.equal(next, { ok: true, result: '"waited"' })
})

test.run()
