/** Every way in which a task can misbehave: what its outcome says, and that its neighbours and the pool are well. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Outcome } from '../../src/domain/job.ts'
import { misbehaviours } from '../fixtures/misbehaviours.ts'
import { openPool } from '../harness/pool.ts'

type Expected = { code: string; message?: string; exitCode?: number } | { result: unknown }

const timeout = { code: 'timeout' }
const tooMuch = { code: 'out_of_memory' }

/** On both kinds, unless a kind has a row of its own. */
const table: Record<string, Expected> = {
  'endless loop': timeout,
  'endless loop in try/catch': timeout,
  'endless loop in finally': timeout,
  'endless promise': timeout,
  'endless microtasks': timeout,
  'ignores the signal': timeout,
  'catches the abort and goes on': timeout,
  'heeds the signal': timeout,
  'polls the signal': timeout,
  'polls aborted and returns': timeout,
  'exits with 0': { code: 'crashed', exitCode: 0 },
  'exits with 3': { code: 'crashed', exitCode: 3 },
  'aborts the process': { code: 'task_error' },
  'throws null': { code: 'task_error', message: 'thrown value that is not an error: null' },
  'throws a string': { code: 'task_error', message: 'thrown value that is not an error: just text' },
  'throws a function': { code: 'task_error', message: 'thrown value that is not an error: a function' },
  'throws a custom error': { code: 'task_error', message: 'too much' },
  'throws what is not worth retrying': { code: 'task_error', message: 'no use' },
  'rejects unhandled': { code: 'crashed', message: 'an error that nobody caught: nobody listens' },
  'throws in a timer': { code: 'crashed', message: 'an error that nobody caught: from a timer' },
  'throws null in a timer': { code: 'crashed' },
  'rejects after its end': { result: 'done' },
  'throws in a timer after its end': { result: 'done' },
  'returns a function': { code: 'invalid_result' },
  'returns a symbol': { code: 'invalid_result' },
  'returns a bigint': { code: 'invalid_result' },
  'returns a circle': { code: 'invalid_result' },
  'returns 10 MB': { code: 'invalid_result' },
  'returns what throws': { code: 'invalid_result' },
  'overflows the stack': { code: 'task_error', message: 'Maximum call stack size exceeded' },
  'closes its port': { result: 'done' },
  'floods with progress': { result: 'done' },
  'floods with messages': { result: 'done' },
  'deletes globals': { result: 'done' },
  'patches prototypes': { result: 'done' },
}

/** Memory is watched where a thread has one job; elsewhere nobody could say whose it is. */
const cpuOnly: Record<string, Expected> = {
  'hoards small objects': tooMuch,
  'hoards arrays': tooMuch,
  'hoards one large array': tooMuch,
  'hoards strings': tooMuch,
  'hoards buffers': tooMuch,
  'parses a large text': tooMuch,
  'blocks in native code': timeout,
  'blocks in a child process': timeout,
}

function check(outcome: Outcome, expected: Expected): void {
  if ('result' in expected) {
    assert.equal(outcome, { ok: true, result: JSON.stringify(expected.result) })
    return
  }
  assert.not.ok(outcome.ok, 'the attempt does not succeed')
  if (outcome.ok) return
  const { code, message, exitCode } = outcome.error
  assert.is(code, expected.code, message)
  if (expected.message !== undefined) assert.is(message, expected.message)
  if (expected.exitCode !== undefined) assert.is(exitCode, expected.exitCode)
}

for (const kind of ['cpu', 'io'] as const) {
  const test = suite(`misbehaviour on ${kind} threads`)
  for (const [how, expected] of Object.entries(kind === 'cpu' ? { ...table, ...cpuOnly } : table)) {
    test(how, async () => {
      assert.ok(how in misbehaviours, 'the fixture knows it')
      await using opened = await openPool()
      // Time only for those that never end: the others must not be hurried on a busy machine.
      const timeoutMs = expected === timeout ? 200 : 60_000
      const outcome = await opened.outcomeOf({ task: `misbehave-${kind}`, input: how, timeoutMs })
      check(outcome, expected)
      await opened.whole()
      check(await opened.outcomeOf({ task: 'good-cpu' }), { result: 'good' })
      check(await opened.outcomeOf({ task: 'good-io', input: 1 }), { result: 'good' })
    })
  }
  test.run()
}
