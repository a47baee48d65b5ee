/**
 * Every way in which a task can misbehave, on the real service: the caller has its answer meanwhile, the outcome is
 * told truthfully, the neighbours end as if nothing had been, and all threads are back afterwards. On both kinds,
 * but for variants of the endless loop, and for memory: on a shared thread nobody could say whose it is, so it is
 * watched on `cpu` threads alone. A module that never finishes loading has its limit in loading.test.ts.
 */
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobView } from '../../src/http/views/job.ts'
import { misbehaviours } from '../fixtures/misbehaviours.ts'
import { jobAt, readRun, readStats } from '../harness/run.ts'
import { startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

interface Expected {
  readonly state: 'completed' | 'failed'
  readonly result?: unknown
  /** Those of its members that count. */
  readonly error?: Readonly<Record<string, unknown>>
}

const done: Expected = { state: 'completed', result: 'done' }
const failed = (code: string, more: object = {}): Expected => ({ state: 'failed', error: { code, ...more } })
const timeout = failed('timeout')
const tooMuch = failed('out_of_memory')
const threw = (message: string): Expected => failed('task_error', { message })
const uncaught = (message: string): Expected =>
  failed('crashed', { message: `an error that nobody caught: ${message}` })
const notAnError = 'thrown value that is not an error:'

const table: Readonly<Record<string, Expected>> = {
  'exits with 0': failed('crashed', { exitCode: 0 }),
  'exits with 3': failed('crashed', { exitCode: 3 }),
  'exits past process.exit': failed('crashed', { exitCode: 4 }),
  'aborts the process': failed('task_error'),
  'throws null': threw(`${notAnError} null`),
  'throws a string': threw(`${notAnError} just text`),
  'throws a function': threw(`${notAnError} a function`),
  'throws a custom error': failed('task_error', {
    name: 'QuotaError',
    message: 'too much',
    taskCode: 'E_QUOTA',
    status: 429,
    cause: { name: 'TypeError', message: 'the disk', cause: { message: `${notAnError} a string` } },
  }),
  'throws what is not worth retrying': threw('no use'),
  'rejects unhandled': uncaught('nobody listens'),
  'throws in a timer': uncaught('from a timer'),
  'throws null in a timer': uncaught(`${notAnError} null`),
  'rejects after its end': done,
  'throws in a timer after its end': done,
  'returns a function': failed('invalid_result'),
  'returns a symbol': failed('invalid_result'),
  'returns a bigint': failed('invalid_result'),
  'returns a circle': failed('invalid_result'),
  'returns 5,000 levels': failed('invalid_result'),
  'returns a map': failed('invalid_result', {
    message: 'the result is not a JSON value: an object of class Map at /rows',
  }),
  'returns 10 MB': failed('invalid_result'),
  'returns what throws': failed('invalid_result'),
  'overflows the stack': threw('Maximum call stack size exceeded'),
  'closes its port': done,
  'floods with progress': done,
  'floods with messages': done,
  'posts past the seal': done,
  'deletes globals': done,
  'patches prototypes': done,
  'cannot be loaded': failed('task_error'),
  // Not the first, while code is still being loaded: the answers have to come before their ends.
  'endless loop': timeout,
  'endless promise': timeout,
  'endless microtasks': timeout,
  'ignores the signal': timeout,
  'catches the abort and goes on': timeout,
  'heeds the signal': timeout,
  'polls aborted and returns': timeout,
  'blocks in native code': timeout,
  'blocks in a child process': timeout,
}

/** Memory, and loops that are ended as the endless one of their kind is. */
const cpuOnly: Readonly<Record<string, Expected>> = {
  'endless loop in try/catch': timeout,
  'endless loop in finally': timeout,
  'polls the signal': timeout,
  'hoards small objects': tooMuch,
  'hoards arrays': tooMuch,
  'hoards one large array': tooMuch,
  'hoards strings': tooMuch,
  'hoards buffers': tooMuch,
  'parses a large text': tooMuch,
}

/** The time limit of endless tasks, which must not delay the answers. Other tasks have more time. */
const timeoutMs = 300

const service = await startService({
  tasksDir: fileURLToPath(new URL('../fixtures/pool-tasks/', import.meta.url)),
  // One for the job that misbehaves, one for its neighbour.
  threads: 2,
  ioThreads: 1,
  // However slow the machine: a first job that overruns its budget would be moved to the pool.
  mainBudgetMs: 10_000,
})

function badTask(kind: string, how: string, expected: Expected): object {
  if (how === 'cannot be loaded') return { name: `loads-badly-${kind}`, maxAttempts: 1 }
  assert.ok(how in misbehaviours, 'the fixture knows it')
  const limit = expected === timeout ? timeoutMs : 60_000
  return { name: `misbehave-${kind}`, input: how, timeoutMs: limit, maxAttempts: 1 }
}

/** The error contains the expected members, at every depth. */
function assertHolds(error: unknown, expected: object): void {
  for (const [member, value] of Object.entries(expected)) {
    const actual: unknown = Reflect.get(Object(error), member)
    if (typeof value === 'object' && value !== null) assertHolds(actual, value)
    else assert.is(actual, value, member)
  }
}

function assertUnhurt(job: JobView): void {
  assert.is(job.state, 'completed')
  assert.is(job.result, 'good')
  assert.is(job.attempt, 1)
  assert.equal(job.failures, [])
}

async function whole(): Promise<void> {
  await until('all threads are back', async () => {
    const { threads } = await readStats(service)
    assert.is(threads.length, 3)
    return threads.every(({ state, running }) => state === 'ready' && running === 0)
  })
}

for (const kind of ['cpu', 'io'] as const) {
  for (const [how, expected] of Object.entries(kind === 'cpu' ? { ...table, ...cpuOnly } : table)) {
    test(`${how} (${kind})`, async () => {
      // Those of kind io are on one thread: one that is there before it, and one that comes after.
      const before = { name: 'good-io', input: 100 }
      const after = [{ name: 'good-cpu' }, { name: 'good-io', input: 1 }]
      const tasks = [{ name: 'good-cpu', input: 'first' }, before, badTask(kind, how, expected), ...after]
      const response = await service.post('/run-tasks', { tasks })
      assert.is(response.status, 200)
      const answered = await readRun(response)
      assert.is(answered.result, 'first')
      const other = await service.post('/run-tasks', { tasks: [{ name: 'good-cpu', input: 'meanwhile' }] })
      assert.is(other.status, 200)
      const meanwhile = await readRun(other)
      assert.is(meanwhile.result, 'meanwhile')

      const run = await until('the run is final', async () => {
        const current = await readRun(await service.get(`/runs/${answered.id}`))
        return current.state !== 'running' && current
      })
      const { state, attempt, result, error, finishedAt } = jobAt(run, 2)
      assert.is(state, expected.state)
      assert.is(attempt, 1)
      assert.is(result, expected.result ?? null)
      if (expected.error === undefined) assert.is(error, null)
      else assertHolds(error, expected.error)
      for (const index of [1, 3, 4]) assertUnhurt(jobAt(run, index))
      if (expected === timeout) {
        for (const { respondedAt } of [answered, meanwhile])
          assert.ok(String(respondedAt) < String(finishedAt), 'too late')
      }
      await whole()
    })
  }
}

test('the service stops cleanly', () => service.stop())

test.run()
