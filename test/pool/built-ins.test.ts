/** A task that changes built-ins harms no later job: its thread is replaced first. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { watchIntrinsics } from '../../src/execution/intrinsics.ts'
import { openPool, type OpenPool } from '../harness/pool.ts'
import { until } from '../harness/until.ts'

const done = { ok: true, result: '"done"' }
const expected = {
  isNow: true,
  sorted: [2, 4, 6],
  sum: 3,
  text: '{"a":[1,{"b":"x"}],"at":"1970-01-01T00:00:00.000Z"}',
  found: ['a', '1>b', '22>'],
  number: 47,
  differs: true,
  all: [1, 2],
  bytes: 5,
  url: '1',
  heard: 2,
  stored: 7,
  isAborted: false,
  inherited: [],
  own: ['a', 1],
  format: '1,234.5',
  hasStack: true,
}

const define = (holder: string, key: string, value = '() => "never"'): string =>
  `Object.defineProperty(${holder}, ${key}, { value: ${value}, configurable: true, writable: true })`

/** Each piece of code changes something and leaves it changed. */
const changes: readonly string[] = [
  'Date.now = () => 0',
  'globalThis.Date = class extends Date { constructor() { super(0) } }',
  'performance.now = () => 0',
  define('Performance.prototype', '"now"', '() => 0'),
  'process.hrtime = () => [0, 0]',
  'Math.random = () => 0.5',
  'Math.max = () => 0',
  'Object.prototype.foo = 1',
  'Array.prototype.foo = 1',
  define('Object.prototype', '"toJSON"'),
  define('Array.prototype', '"toJSON"'),
  define('String.prototype', '"toJSON"'),
  define('Array.prototype', '"push"'),
  define('Array.prototype', '"map"'),
  define('Array.prototype', 'Symbol.iterator'),
  define('Object.getPrototypeOf([][Symbol.iterator]())', '"next"'),
  define('Object.getPrototypeOf(new Map().values())', '"next"'),
  define('Function.prototype', '"call"'),
  define('Function.prototype', '"bind"'),
  define('Map.prototype', '"get"'),
  'Object.defineProperty(Map.prototype, "size", { get: () => 7 })',
  define('RegExp.prototype', '"exec"', '() => null'),
  define('RegExp.prototype', 'Symbol.replace'),
  define('String.prototype', '"split"'),
  define('String.prototype', '"toWellFormed"', '() => "x"'),
  define('Promise.prototype', '"then"', '() => {}'),
  define('Promise', '"withResolvers"'),
  'delete Promise.all',
  'delete globalThis.JSON',
  'JSON.stringify = () => "1"',
  'JSON.parse = () => 1',
  'process.nextTick = () => {}',
  'globalThis.queueMicrotask = () => {}',
  'globalThis.setTimeout = () => {}',
  'globalThis.setImmediate = () => {}',
  'process.getBuiltinModule("timers/promises").setTimeout = async () => {}',
  'Error.stackTraceLimit = 0',
  'Error.prepareStackTrace = () => "x"',
  'Object.freeze(Object.prototype)',
  'Object.setPrototypeOf(Array.prototype, null)',
  'Object.keys = () => []',
  'Reflect.get = () => 1',
  'Reflect.apply = () => 1',
  'Atomics.store = () => {}',
  'Buffer.byteLength = () => 0',
  'process.getBuiltinModule("async_hooks").AsyncLocalStorage.prototype.run = () => {}',
  'process.getBuiltinModule("async_hooks").AsyncLocalStorage.prototype.getStore = () => {}',
  'process.getBuiltinModule("events").EventEmitter.prototype.emit = () => {}',
  define('URL.prototype', '"toString"'),
  define('URLSearchParams.prototype', '"get"'),
  define('TextEncoder.prototype', '"encodeInto"'),
  define('AbortController.prototype', '"abort"'),
  'Object.defineProperty(AbortSignal.prototype, "aborted", { get: () => true })',
  define('MessagePort.prototype', '"postMessage"'),
  define('Intl.NumberFormat.prototype', '"formatToParts"'),
  'globalThis.Array = class {}',
  'globalThis.String = () => "x"',
  'globalThis.Promise = class {}',
]

async function check(opened: OpenPool, code: string, thread: string): Promise<void> {
  assert.equal(await opened.outcomeOf({ task: 'changes-built-ins', input: code, thread }), done, code)
  let outcome = await (await opened.start({ task: 'relies-on-built-ins', input: Date.now(), thread })).outcome
  // It was on its way when the change was found: it is handed back unspent.
  if (outcome === 'released')
    outcome = await opened.outcomeOf({ task: 'relies-on-built-ins', input: Date.now(), thread })
  assert.ok(outcome.ok, code)
  assert.equal(outcome.ok && JSON.parse(outcome.result), expected, code)
}

const threads = 4
const opening = openPool({ threads, ioThreads: 0 })

for (const [index] of changes.entries()) {
  if (index % threads !== 0) continue
  const some = changes.slice(index, index + threads)
  test(some.join('; '), async () => {
    const opened = await opening
    await Promise.all(some.map((code, place) => check(opened, code, `worker-${place + 1}`)))
  })
}

test('the pool stops', async () => (await opening).pool.stop())

test('the time of a job is measured by a clock that a task cannot set', async () => {
  await using opened = await openPool()
  const fake = (time: string) => `Date.now = performance.now = process.hrtime = () => ${time}`
  const endless = await opened.outcomeOf({
    task: 'changes-built-ins',
    input: `${fake('0')}; for (;;);`,
    timeoutMs: 300,
  })
  assert.is(!endless.ok && endless.error.code, 'timeout')
  const wait = 'return new Promise((resolve) => setTimeout(resolve, 300))'
  const ahead = { task: 'changes-built-ins', input: `${fake('Number.MAX_SAFE_INTEGER')}; ${wait}`, timeoutMs: 20_000 }
  assert.equal(await opened.outcomeOf(ahead), done)
})

test('a job that keeps a built-in changed on a shared thread fails when another job arrives', async () => {
  await using opened = await openPool({ ioThreads: 1 })
  const fakes = await opened.start({ task: 'fakes-time-io', timeoutMs: 60_000 })
  await until('it has begun', () => fakes.progress() !== null)
  const other = await opened.start({ task: 'good-io', input: 1 })
  assert.is(await other.outcome, 'released')
  const outcome = await fakes.outcome
  assert.ok(outcome !== 'released' && !outcome.ok)
  assert.is(outcome.error.code, 'crashed')
  assert.is(outcome.error.message, 'had Date.now changed while it waited on a thread that it shares')
  assert.equal(await opened.outcomeOf({ task: 'good-io', input: 1 }), { ok: true, result: '"good"' })
})

/* oxlint-disable no-extend-native */
test('a change is named, and undone where possible', () => {
  const intrinsics = watchIntrinsics()
  assert.is(intrinsics.findChanged(), null)
  const { map } = Array.prototype
  const { JSON: json } = globalThis
  Reflect.set(Object.prototype, 'foo', 1)
  Reflect.deleteProperty(globalThis, 'JSON')
  Object.defineProperty(Array.prototype, 'map', { value: () => [] })
  Object.defineProperty(Map.prototype, 'size', { get: () => 7 })
  Object.defineProperty(Array.prototype, 'toJSON', { value: () => 1, configurable: true })
  const found = intrinsics.findReplaced()
  const left = intrinsics.restore()
  assert.is(found, 'Array.prototype.map')
  assert.equal(left, [])
  assert.is(intrinsics.findChanged(), null)
  assert.is(Array.prototype.map, map)
  assert.is(globalThis.JSON, json)
  assert.is(new Map([[1, 1]]).size, 1)
  assert.not.ok('foo' in {} || 'toJSON' in [])
})
/* oxlint-enable no-extend-native */

test.run()
