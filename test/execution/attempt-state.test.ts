import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { failedBy, type AttemptOutcome, type Outcome } from '../../src/domain/claim.ts'
import { createAttemptState } from '../../src/execution/executor.ts'

const done: Outcome = { ok: true, result: '1' }
const thrown = failedBy({ code: 'task_error', message: 'thrown' })
const crashed = failedBy({ code: 'crashed', message: 'gone' })

function makeEnd(graceMs = 60_000) {
  const calls: string[] = []
  const end = createAttemptState({
    graceMs,
    onStop: () => calls.push('stop'),
    onGraceOver: () => calls.push('grace over'),
    onEnd: () => calls.push('end'),
  })
  return { end, calls }
}

function codeOf(outcome: AttemptOutcome): string {
  if (outcome === 'released') return outcome
  return outcome.ok ? outcome.result : outcome.error.code
}

test('the first end counts, and is reported once', async () => {
  const { end, calls } = makeEnd()
  assert.not.ok(end.isOver())
  end.finish(done)
  end.breakOff(crashed)
  end.cancel()
  assert.ok(end.isOver())
  assert.is(await end.outcome, done)
  assert.equal(calls, ['end'])
})

test('a stopped attempt ends with the outcome of the request; only a released one may still complete', async () => {
  const ways = [
    ['cancel', 'cancelled', 'cancelled', 'cancelled'],
    ['timeOut', 'timeout', 'timeout', 'timeout'],
    ['release', '1', 'released', 'released'],
  ] as const
  for (const [way, ...expected] of ways) {
    const outcomes = [done, thrown, crashed].map((outcome) => {
      const { end, calls } = makeEnd()
      end[way]('out of time')
      assert.equal(calls, ['stop'])
      if (outcome === crashed) end.breakOff(outcome)
      else end.finish(outcome)
      return end.outcome
    })
    assert.equal((await Promise.all(outcomes)).map(codeOf), [...expected], way)
  }
})

test('the first of two requests to stop counts', async () => {
  const { end, calls } = makeEnd()
  end.cancel()
  end.release()
  end.finish(done)
  assert.is(codeOf(await end.outcome), 'cancelled')
  assert.equal(calls, ['stop', 'end'])
})

test('an attempt that does not stop ends after the grace, which is reported', async () => {
  const { end, calls } = makeEnd(1)
  end.release()
  assert.is(await end.outcome, 'released')
  assert.equal(calls, ['stop', 'end', 'grace over'])
})

test.run()
