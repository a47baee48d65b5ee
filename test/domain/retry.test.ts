import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { maxLostStarts, retryDelayMs } from '../../src/domain/job.ts'

const attempts = Array.from({ length: 20 }, (_, index) => index + 1)
const justBelowOne = 1 - 2 ** -53

test('the wait is uniform from 0 to 1 s, doubled by each attempt and at most 60 s', () => {
  for (const attempt of attempts) {
    const ceilingMs = Math.min(60_000, 1_000 * 2 ** (attempt - 1))
    assert.is(
      retryDelayMs(attempt, () => 0),
      0,
    )
    assert.is(
      retryDelayMs(attempt, () => 0.5),
      ceilingMs / 2,
    )
    assert.is(
      retryDelayMs(attempt, () => justBelowOne),
      ceilingMs,
    )
  }
})

test('the wait is a whole number within its bounds, also of the last attempt that there can be', () => {
  for (const attempt of [...attempts, 100]) {
    const delayMs = retryDelayMs(attempt)
    assert.ok(Number.isInteger(delayMs) && delayMs >= 0 && delayMs <= 60_000, `attempt ${attempt}: ${delayMs}`)
  }
})

test('a job may lose as many starts as it has attempts, and never fewer than 3', () => {
  assert.equal([1, 2, 3, 4, 100].map(maxLostStarts), [3, 3, 3, 4, 100])
})

test.run()
