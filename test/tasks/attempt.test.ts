/** One attempt comes to one outcome, whatever the task does; nothing that it throws or returns gets past. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobError } from '../../src/domain/job.ts'
import type { Outcome } from '../../src/domain/claim.ts'
import { maxResultBytes, type TaskContext } from '../../src/domain/task.ts'
import { runTask } from '../../src/execution/running-task.ts'
import { loadTask } from '../../src/tasks/module-loading.ts'
import type { Task } from '../../src/tasks/task-module.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const context: TaskContext = {
  signal: new AbortController().signal,
  progress() {},
  log: silent,
  step: () => Promise.reject(new Error('no step was expected')),
  after: [],
  attempt: 1,
  runId: '01a20726-511c-723c-9ce9-a7c9e9b12f72',
  jobIndex: 0,
}
const { policy } = await loadTask('bare', 'data:text/javascript,export default { run() {} }')

function attempt(run: Task['run'], input: string | null = null): Promise<Outcome> {
  return runTask(
    { name: 'task', definition: {}, url: 'file:///task.ts', policy, input: undefined, secret: [], run },
    input,
    context,
  )
}

async function failure(run: Task['run']): Promise<{ error: JobError; isRetryable: boolean }> {
  const outcome = await attempt(run)
  if (outcome.ok) throw new Error(`it did not fail, but returned ${outcome.result}`)
  return outcome
}

const throwing = (thrown: unknown) => () => {
  throw thrown
}

test('returns the result as JSON, of a function and of a promise alike', async () => {
  const values: [unknown, string][] = [
    [{ a: [1, 'x', null] }, '{"a":[1,"x",null]}'],
    [undefined, 'null'],
    [null, 'null'],
    [{ a: undefined }, '{}'],
    [new Date(0), '"1970-01-01T00:00:00.000Z"'],
    ['\uD800', '"\\ud800"'],
  ]
  for (const [value, result] of values) {
    assert.equal(await attempt(() => value), { ok: true, result })
    assert.equal(await attempt(async () => value), { ok: true, result })
  }
})

test('gives the task its input and its context', async () => {
  const both = (input: unknown, given: TaskContext) => [input === undefined, input, given === context]
  assert.equal(await attempt(both, '{"__proto__":{"a":1}}'), {
    ok: true,
    result: '[false,{"__proto__":{"a":1}},true]',
  })
  assert.equal(await attempt(both, 'null'), { ok: true, result: '[false,null,true]' })
  assert.equal(await attempt(both, null), { ok: true, result: '[true,null,true]' })
})

test('takes a result of 1 MiB as JSON in UTF-8, and no more', async () => {
  // Two quotes belong to it, and an ü has two bytes.
  const largest = `${'x'.repeat(maxResultBytes - 4)}ü`
  const outcome = await attempt(() => largest)
  assert.is(outcome.ok && Buffer.byteLength(outcome.result), maxResultBytes)
  const { error, isRetryable } = await failure(() => `${largest}x`)
  assert.is(error.code, 'invalid_result')
  assert.is(isRetryable, false)
})

test('refuses a result that is no JSON value', async () => {
  const circular: Record<string, unknown> = {}
  circular['self'] = circular
  const hostile = { toJSON: throwing(null) }
  const values = [circular, 1n, { deep: [1n] }, () => {}, Symbol('x'), hostile, { toJSON: () => {} }]
  for (const value of values) {
    const { error, isRetryable } = await failure(() => value)
    assert.is(error.code, 'invalid_result')
    assert.is(isRetryable, false)
    assert.ok(error.message.length > 0)
  }
})

test('describes an error that is thrown, or rejected with', async () => {
  const cause = Object.assign(new TypeError('inner'), { code: 7 })
  const thrown = Object.assign(new RangeError('outer', { cause }), { code: 'E_OUT', status: 404 })
  for (const run of [throwing(thrown), () => Promise.reject(thrown)]) {
    const { error, isRetryable } = await failure(run)
    const { stack, cause: inner, ...rest } = error
    assert.equal(rest, { code: 'task_error', message: 'outer', name: 'RangeError', taskCode: 'E_OUT', status: 404 })
    assert.ok(stack?.includes('RangeError: outer'))
    assert.is(inner?.message, 'inner')
    assert.is(inner?.name, 'TypeError')
    assert.is(inner?.taskCode, 7)
    assert.is(isRetryable, true)
  }
})

test('describes thrown values of any other kind', async () => {
  const hostile = new Proxy({}, { get: throwing(null), has: throwing(null), ownKeys: throwing(null) })
  const values = [null, undefined, 'text', 0, 1n, Symbol('x'), () => {}, {}, [], Object.create(null), hostile]
  for (const thrown of values) {
    const { error, isRetryable } = await failure(throwing(thrown))
    assert.is(error.code, 'task_error')
    assert.ok(error.message.length > 0)
    assert.is(isRetryable, true)
    assert.not.throws(() => structuredClone(error))
  }
  assert.ok((await failure(throwing('text'))).error.message.includes('text'))
})

test('bounds its descriptions', async () => {
  const long = new Error('m'.repeat(1_000_000))
  let chain: Error = long
  for (let depth = 0; depth < 1_000; depth += 1) chain = new Error('link', { cause: chain })
  const circular = new Error('circular')
  circular.cause = circular
  for (const thrown of [long, chain, circular, 'x'.repeat(1_000_000), { message: 'm'.repeat(1_000_000) }]) {
    const { error } = await failure(throwing(thrown))
    assert.ok(JSON.stringify(error).length < 200_000)
  }
})

test('respects retryable: false on any thrown object', async () => {
  const values = [Object.assign(new Error('no'), { retryable: false }), { retryable: false }]
  for (const thrown of values) assert.is((await failure(throwing(thrown))).isRetryable, false)
  for (const retryable of [true, undefined, 0, null, 'false']) {
    assert.is((await failure(throwing({ retryable }))).isRetryable, true, String(retryable))
  }
})

test.run()
