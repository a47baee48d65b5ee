import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AppError, BootError } from '../../src/domain/errors.ts'
import { problemCodes, problems } from '../../src/domain/problems.ts'

test('each problem has a code for a path, a unique title, and says what to do', () => {
  for (const code of problemCodes) {
    const { status, title, meaning, remedy } = problems[code]
    assert.match(code, /^[a-z]+(-[a-z]+)*$/)
    assert.match(title, /^[A-Z].*[^.]$/)
    for (const sentence of [meaning, remedy]) assert.match(sentence, /^[A-Z].*\.$/s, code)
    assert.ok(Number.isInteger(status) && status >= 400 && status <= 599, code)
  }
  const titles = problemCodes.map((code) => problems[code].title)
  assert.is(new Set(titles).size, titles.length)
})

test('only temporary problems can be retried unchanged', () => {
  const passing = new Set(['idempotency-in-progress', 'run-active', 'too-many-streams'])
  for (const code of problemCodes) {
    const { status, isRetryable = false } = problems[code]
    assert.is(isRetryable, status === 503 || passing.has(code), code)
  }
})

test('an error for callers has the status of its code unless it is given one', () => {
  for (const code of problemCodes) assert.is(new AppError(code, 'no').status, problems[code].status)
  assert.is(new AppError('first-task-failed', 'no', { status: 404 }).status, 404)
})

test('an error for callers has the given members, and no cause unless there is one', () => {
  const cause = new Error('inner')
  const error = new AppError('overloaded', 'no', { cause, members: { runId: 'r' } })
  assert.instance(error, Error)
  assert.equal([error.code, error.name, error.message], ['overloaded', 'AppError', 'no'])
  assert.is(error.cause, cause)
  assert.equal(error.members, { runId: 'r' })
  assert.not.ok('cause' in new AppError('internal', 'no'))
  assert.not.ok('cause' in new BootError('no'))
  assert.is(new BootError('no', cause).cause, cause)
})

test.run()
