/** Which outcome an attempt on a thread ends with: the rows of the table in `attempt.ts`, before and after a request to stop. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { failedBy, type AttemptOutcome, type ClaimedJob } from '../../src/domain/claim.ts'
import { startAttempt, type PoolAttempt } from '../../src/execution/pool/attempt.ts'
import { allocateControlBlock, createControlBlock } from '../../src/execution/pool/control-block.ts'

const outOfMemory = { code: 'out_of_memory', message: 'too much' } as const
const crashed = { code: 'crashed', message: 'gone', stack: 'at secret' } as const

function start({ isBegun = true, timeoutMs = 60_000, hasSecrets = true, cancelGraceMs = 60_000 } = {}) {
  const control = createControlBlock(allocateControlBlock(2))
  const causes: string[] = []
  const attempt = startAttempt({
    job: { runId: 'run', jobIndex: 0, claim: 1, timeoutMs } as ClaimedJob,
    keeper: { keep: async () => 'stale', stored: async () => null },
    slot: 1,
    control,
    loadLimitMs: 60_000,
    cancelGraceMs,
    hasSecrets,
    onAbandoned: (cause) => causes.push(cause),
    onUnbegun() {},
  })
  if (isBegun) {
    control.take(1)
    control.setRunning(1)
  }
  return { attempt, causes }
}

async function codeOf(outcome: Promise<AttemptOutcome>): Promise<string> {
  const ended = await outcome
  if (ended === 'released') return ended
  return ended.ok ? 'completed' : ended.error.code
}

const ends: Record<string, (attempt: PoolAttempt) => void> = {
  completes: (attempt) => attempt.finish({ ok: true, result: '1' }),
  fails: (attempt) => attempt.finish(failedBy({ code: 'task_error', message: 'thrown' })),
  kill: (attempt) => attempt.kill(outOfMemory),
  crash: (attempt) => attempt.crash(crashed),
  evict: (attempt) => attempt.evict(),
}

test('each end has its outcome; after a request to stop, that of the request', async () => {
  const expected = {
    completes: ['completed', 'completed', 'cancelled'],
    fails: ['task_error', 'released', 'cancelled'],
    kill: ['out_of_memory', 'released', 'cancelled'],
    crash: ['crashed', 'released', 'cancelled'],
    evict: ['released', 'released', 'cancelled'],
  }
  for (const [name, end] of Object.entries(ends)) {
    const codes = [undefined, 'release', 'cancel'].map(async (request) => {
      const { attempt, causes } = start()
      if (request === 'release' || request === 'cancel') attempt[request]()
      end(attempt)
      end(attempt)
      assert.equal(causes, name === 'kill' ? ['out_of_memory'] : [], 'the cause of the end of the thread is the kill')
      return codeOf(attempt.outcome)
    })
    assert.equal([name, await Promise.all(codes)], [name, expected[name as keyof typeof expected]])
  }
})

test('a job that the thread has not begun ends at once', async () => {
  for (const [way, outcome] of [
    ['recall', 'released'],
    ['release', 'released'],
    ['cancel', 'cancelled'],
  ] as const) {
    const { attempt, causes } = start({ isBegun: false })
    attempt[way]()
    assert.is(await codeOf(attempt.outcome), outcome)
    assert.equal(causes, [])
    assert.not.ok(attempt.recall())
  }
  const { attempt } = start()
  assert.not.ok(attempt.recall(), 'it has begun')
  attempt.evict()
})

test('the timeout and each request end after the grace, and name their cause', async () => {
  for (const way of ['release', 'cancel', 'timeout'] as const) {
    const { attempt, causes } = start({ cancelGraceMs: 1, timeoutMs: way === 'timeout' ? 1 : 60_000 })
    if (way !== 'timeout') attempt[way]()
    const code = { release: 'released', cancel: 'cancelled', timeout: 'timeout' }[way]
    assert.is(await codeOf(attempt.outcome), code)
    assert.equal(causes, [code])
  }
})

test('the stack of a crash is kept only of a task without secrets', async () => {
  for (const hasSecrets of [true, false]) {
    const { attempt } = start({ hasSecrets })
    attempt.crash(crashed)
    const outcome = await attempt.outcome
    assert.is(outcome !== 'released' && !outcome.ok && outcome.error.stack, hasSecrets ? undefined : crashed.stack)
  }
})

test.run()
