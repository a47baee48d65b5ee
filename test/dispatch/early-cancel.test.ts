/** A cancel that arrives before the reply to the claim that it ends. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { AttemptOutcome, ClaimedJob } from '../../src/domain/claim.ts'
import { createDispatcher } from '../../src/dispatch/dispatcher.ts'
import type { Execute } from '../../src/dispatch/execute.ts'
import { createSuspects, type SuspectsOptions } from '../../src/dispatch/suspects.ts'
import { createLog } from '../../src/log.ts'
import type { ClaimRequest, ClaimResult } from '../../src/store/claim-requests.ts'

type Options = Parameters<typeof createDispatcher>[0]

const log = createLog('silent')
const job = { runId: 'run', jobIndex: 0, claim: 1, task: 'task' } as ClaimedJob
const none: ClaimResult = { jobs: [], nextDueAt: null }
const slots = [
  { thread: 'worker-1', kind: 'cpu', count: 1 },
  { thread: 'worker-2', kind: 'io', count: 1 },
] as const

const traced = (execute: Execute): Execute => {
  return (claimed, ...rest) => execute({ ...claimed, traceparent: 'span' }, ...rest)
}

for (const [only, traceExecute] of [
  ['all', null],
  ['all', traced],
  ['suspects', null],
] as const) {
  test(`${only === 'all' ? 'a job' : 'a suspect'} is cancelled as it starts${traceExecute ? ', also when it is traced' : ''}`, async () => {
    const claimed = Promise.withResolvers<ClaimResult>()
    const ended = Promise.withResolvers<AttemptOutcome>()
    const replies = [claimed.promise]
    const dispatcher = createDispatcher({
      store: {
        rescue: async () => ({ requeued: 0, crashed: 0, suspects: only === 'all' ? 0 : 1 }),
        claim: async (request: ClaimRequest) => (request.only === only && replies.pop()) || none,
        release: async () => 'stale',
        leave: async () => 0,
        pausedTasks: () => new Set(),
      },
      pool: {
        freeSlots: () => slots,
        onCapacity() {},
        run: () => ({
          outcome: ended.promise,
          release: () => ended.resolve('released'),
          cancel: () => ended.resolve({ ok: false, error: { code: 'cancelled', message: '' }, isRetryable: false }),
          progress: () => null,
        }),
      },
      mainThread: { cancel: () => false, stop: async () => {} },
      registry: { all: () => [], get: () => ({}) },
      clock: { now: () => 0 },
      log,
      cancelGraceMs: 0,
      onStarted() {},
      onRecovered() {},
      onUncommitted() {},
      onEnded() {},
      traceExecute,
    } as unknown as Options)
    await dispatcher.start()
    dispatcher.cancel(job)
    claimed.resolve({ ...none, jobs: [job] })
    const outcome = await ended.promise
    assert.is(outcome !== 'released' && !outcome.ok && outcome.error.code, 'cancelled')
    assert.ok(await dispatcher.drain(1))
  })
}

test('a claim of suspects is under way until its reply or its failure', async () => {
  for (const reply of [async () => none, () => Promise.reject(new Error('away'))]) {
    const taskLimits = { request: () => ({ slots }) }
    const suspects = createSuspects({ store: { claim: reply }, taskLimits, log } as unknown as SuspectsOptions)
    assert.not.ok(suspects.isClaiming())
    const done = suspects.runAll()
    assert.ok(suspects.isClaiming())
    await done
    assert.not.ok(suspects.isClaiming())
  }
})

test.run()
