/** How attempts are found and stopped, in the same way on the main thread and in the pool. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClaimedJob, AttemptOutcome, Progress } from '../../src/domain/claim.ts'
import { createExecutor, notStarted } from '../../src/execution/executor.ts'

const done: AttemptOutcome = { ok: true, result: '1' }

function jobOf(jobIndex: number, claim = 1): ClaimedJob {
  return {
    runId: 'run',
    jobIndex,
    claim,
    task: 'task',
    kind: 'cpu',
    input: null,
    thread: 'worker-1',
    timeoutMs: 1_000,
    attempt: claim,
    maxAttempts: 3,
    lostStarts: 0,
    waitedMs: 0,
  }
}

/** An executor whose attempts end when the test calls `ends`; `calls` lists the requests to the attempts. */
function makeExecutor() {
  const calls: string[] = []
  const ends: ((outcome: AttemptOutcome) => void)[] = []
  const reported = new Map<number, Progress>()
  const executor = createExecutor(({ jobIndex, claim }) => {
    const { promise, resolve } = Promise.withResolvers<AttemptOutcome>()
    ends.push(resolve)
    return {
      outcome: promise,
      release() {
        calls.push(`release ${jobIndex}/${claim}`)
        resolve('released')
      },
      cancel: () => void calls.push(`cancel ${jobIndex}/${claim}`),
      progress: () => reported.get(jobIndex) ?? null,
    }
  })
  return { executor, calls, ends, reported }
}

test('a cancel reaches only the attempt under its claim', async () => {
  const { executor, calls, ends } = makeExecutor()
  const first = executor.run(jobOf(0, 2))
  assert.not.ok(executor.cancel({ runId: 'run', jobIndex: 0, claim: 1 }))
  assert.not.ok(executor.cancel({ runId: 'run', jobIndex: 1, claim: 2 }))
  assert.not.ok(executor.cancel({ runId: 'other', jobIndex: 0, claim: 2 }))
  assert.ok(executor.cancel({ runId: 'run', jobIndex: 0, claim: 2 }))
  assert.equal(calls, ['cancel 0/2'])
  ends[0]?.(done)
  assert.is(await first, done)
  assert.not.ok(executor.cancel({ runId: 'run', jobIndex: 0, claim: 2 }), 'it has ended')
})

test('a new attempt of a job replaces the earlier one, which is cancelled', async () => {
  const { executor, calls, ends, reported } = makeExecutor()
  const before = executor.run(jobOf(0, 1))
  const after = executor.run(jobOf(0, 2))
  assert.equal(calls, ['cancel 0/1'])
  ends[0]?.('released')
  assert.is(await before, 'released')
  reported.set(0, { fraction: 0.5, message: 'half' })
  assert.equal(executor.allProgress(), [{ runId: 'run', jobIndex: 0, fraction: 0.5, message: 'half' }])
  assert.ok(
    executor.cancel({ runId: 'run', jobIndex: 0, claim: 2 }),
    'the end of the earlier attempt does not remove it',
  )
  ends[1]?.(done)
  assert.is(await after, done)
  assert.is(executor.progress('run', 0), null)
})

test('stop waits for running attempts, and releases them after the grace', async () => {
  const { executor, calls, ends } = makeExecutor()
  const [one, two] = [executor.run(jobOf(0)), executor.run(jobOf(1))]
  ends[0]?.(done)
  await executor.stop(1)
  assert.equal([await one, await two], [done, 'released'])
  assert.equal(calls, ['release 1/1'])
  await executor.stop(60_000)
})

test('a job that found no room is released at once', async () => {
  const executor = createExecutor(() => notStarted)
  assert.is(await executor.run(jobOf(0)), 'released')
  assert.equal(executor.allProgress(), [])
})

test.run()
