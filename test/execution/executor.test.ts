/** Which attempts run at a place, and how they are found and stopped; the same for the main thread and the pool. */
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

/** An executor whose attempts end when the test says so; `calls` is what they were asked. */
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

test('a cancel reaches the attempt under its claim, and no other', async () => {
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

test('the attempt of a job that is run again takes the place of the one before, which is cancelled', async () => {
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
    'the end of the one before leaves it in its place',
  )
  ends[1]?.(done)
  assert.is(await after, done)
  assert.is(executor.progress('run', 0), null)
})

test('stop waits for what runs, and hands it back after the grace', async () => {
  const { executor, calls, ends } = makeExecutor()
  const [one, two] = [executor.run(jobOf(0)), executor.run(jobOf(1))]
  ends[0]?.(done)
  await executor.stop(1)
  assert.equal([await one, await two], [done, 'released'])
  assert.equal(calls, ['release 1/1'])
  await executor.stop(60_000)
})

test('what a place could not begin is handed back at once', async () => {
  const executor = createExecutor(() => notStarted)
  assert.is(await executor.run(jobOf(0)), 'released')
  assert.equal(executor.allProgress(), [])
})

test.run()
