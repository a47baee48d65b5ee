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

/** What is logged and reported when a job comes to this outcome, cancelled in the store before or not. */
async function endWith(outcome: AttemptOutcome, { isCancelled }: { isCancelled: boolean }) {
  await using opened = await openSqlite(':memory:')
  const { store } = opened
  const run = runOf()
  const job = await acceptAndClaim(store, run, start)
  if (isCancelled) await store.cancel(run.id, 0, start)
  const lines: unknown[] = []
  const ends: unknown[] = []
  let wakes = 0
  const note = (_fields: unknown, text: unknown) => void lines.push(text)
  const execute = createExecute({
    store,
    clock: systemClock,
    log: Object.assign(createLog('silent'), { info: note, warn: note, error: note }),
    signal: new AbortController().signal,
    isLeaving: () => false,
    onUncommitted: () => assert.unreachable(),
    onWaiting: () => (wakes += 1),
    onEnded: ({ isFinal, wasStopped }) => void ends.push({ isFinal, wasStopped }),
  })
  await execute(job, async () => outcome)
  return { lines, ends, wakes, state: (await jobIn(store, run.id)).state }
}

const done: AttemptOutcome = { ok: true, result: '1' }
const failed = (code: JobErrorCode) => ({ ok: false, error: { code, message: 'x' }, isRetryable: false }) as const

test('the end of a cancelled job is not logged', async () => {
  const { lines } = await endWith(failed('cancelled'), { isCancelled: true })
  assert.equal(lines, [])
})

test('a different outcome of a settled job is logged, and nothing waits for it', async () => {
  for (const outcome of [failed('timeout'), { ...failed('timeout'), isRetryable: true }, done, 'released'] as const) {
    const { lines, ends, wakes } = await endWith(outcome, { isCancelled: true })
    assert.equal(lines, ['an outcome came too late: the job was settled or claimed again before'])
    assert.equal(ends, [{ isFinal: false, wasStopped: false }])
    assert.is(wakes, 0)
  }
})

test('an attempt that stops without a cancel is counted, and its job is released and queued again', async () => {
  assert.equal(await endWith(failed('cancelled'), { isCancelled: false }), {
    lines: ['job released'],
    ends: [{ isFinal: false, wasStopped: true }],
    wakes: 1,
    state: 'queued',
  })
})

test.run()
