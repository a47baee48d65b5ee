/** What the log says of an attempt's outcome. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createExecute } from '../../src/dispatch/execute.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import type { AttemptOutcome } from '../../src/domain/claim.ts'
import type { JobErrorCode } from '../../src/domain/job.ts'
import { createLog } from '../../src/log.ts'
import { acceptAndClaim, jobIn, runOf, start } from '../harness/store-run.ts'
import { openSqlite } from '../harness/store-sqlite.ts'

/** What is logged when a job was cancelled in the store and then comes to this outcome. */
async function loggedAfterCancel(outcome: AttemptOutcome): Promise<unknown[]> {
  await using opened = await openSqlite(':memory:')
  const { store } = opened
  const run = runOf()
  const job = await acceptAndClaim(store, run, start)
  await store.cancel(run.id, 0, start)
  const lines: unknown[] = []
  const note = (_fields: unknown, text: unknown) => void lines.push(text)
  const log = Object.assign(createLog('silent'), { info: note, warn: note, error: note })
  const execute = createExecute({
    store,
    clock: systemClock,
    log,
    signal: new AbortController().signal,
    isLeaving: () => false,
    onUncommitted: () => assert.unreachable(),
    onWaiting: () => {},
    onEnded: () => {},
  })
  await execute(job, async () => outcome)
  return lines
}

const failed = (code: JobErrorCode): AttemptOutcome => ({
  ok: false,
  error: { code, message: 'x' },
  isRetryable: false,
})

test('the end of a cancelled job is not logged', async () => {
  assert.equal(await loggedAfterCancel(failed('cancelled')), [])
})

test('a different outcome of a settled job is logged', async () => {
  for (const outcome of [failed('timeout'), { ok: true, result: '1' } as const]) {
    assert.equal(await loggedAfterCancel(outcome), [
      'an outcome came too late: the job was settled or claimed again before',
    ])
  }
})

test('an attempt that stops without a cancel is counted, and the job is queued again', async () => {
  await using opened = await openSqlite(':memory:')
  const { store } = opened
  const run = runOf()
  const job = await acceptAndClaim(store, run, start)
  const stopped: boolean[] = []
  const execute = createExecute({
    store,
    clock: systemClock,
    log: createLog('silent'),
    signal: new AbortController().signal,
    isLeaving: () => false,
    onUncommitted: () => assert.unreachable(),
    onWaiting: () => {},
    onEnded: ({ wasStopped }) => void stopped.push(wasStopped),
  })
  await execute(job, async () => failed('cancelled'))
  assert.equal(stopped, [true])
  assert.is((await jobIn(store, run.id)).state, 'queued')
})

test.run()
