/** The commit that settles the deciding job decides the answer, once and for all. */
import * as assert from 'uvu/assert'
import { respondModes, type Answer, type RespondMode, type RunState } from '../../../src/domain/run.ts'
import type { ClaimedJob } from '../../../src/domain/claim.ts'
import type { CancelResult, SettleResult } from '../../../src/domain/run/verbs.ts'
import type { Store } from '../../../src/store/store.ts'
import { entryAt, jobOf, requestAt, runIn, runOf, start, taskError } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

/** Which job and status the answer has, and after which settling (from 0) it is decided. */
interface Decision {
  readonly after: number
  readonly jobIndex: number | null
  readonly status: number
}

/**
 * Which of two jobs ends how, in order: `ok`, `fails` for good (or a number: with this status of its own), `cancel`,
 * `retry` or `release`; the decision, or null where there is none; and the run's state at the end.
 */
type Scenario = readonly [ends: string, decision: Decision | null, state: RunState]

const scenarios: Record<RespondMode, readonly Scenario[]> = {
  first: [
    ['1 ok, 0 ok', { after: 1, jobIndex: 0, status: 200 }, 'completed'],
    ['0 ok, 1 fails', { after: 0, jobIndex: 0, status: 200 }, 'failed'],
    ['0 fails, 1 ok', { after: 0, jobIndex: 0, status: 500 }, 'failed'],
    ['0 404', { after: 0, jobIndex: 0, status: 404 }, 'running'],
    ['0 400', { after: 0, jobIndex: 0, status: 400 }, 'running'],
    ['0 451', { after: 0, jobIndex: 0, status: 451 }, 'running'],
    ['0 302', { after: 0, jobIndex: 0, status: 500 }, 'running'],
    ['0 407', { after: 0, jobIndex: 0, status: 500 }, 'running'],
    ['0 503', { after: 0, jobIndex: 0, status: 500 }, 'running'],
    ['0 cancel', { after: 0, jobIndex: 0, status: 500 }, 'running'],
    ['1 404', null, 'running'],
    ['1 cancel', null, 'running'],
    ['0 retry, 1 ok', null, 'running'],
    ['0 release', null, 'running'],
  ],
  race: [
    ['1 ok, 0 fails', { after: 0, jobIndex: 1, status: 200 }, 'failed'],
    ['1 422, 0 ok', { after: 0, jobIndex: 1, status: 422 }, 'failed'],
    ['1 cancel, 0 ok', { after: 0, jobIndex: 1, status: 500 }, 'cancelled'],
    ['1 retry, 0 ok', { after: 1, jobIndex: 0, status: 200 }, 'running'],
  ],
  any: [
    ['0 fails, 1 ok', { after: 1, jobIndex: 1, status: 200 }, 'failed'],
    ['1 ok, 0 ok', { after: 0, jobIndex: 1, status: 200 }, 'completed'],
    ['1 ok, 0 fails', { after: 0, jobIndex: 1, status: 200 }, 'failed'],
    ['0 404, 1 404', { after: 1, jobIndex: null, status: 500 }, 'failed'],
    ['0 cancel, 1 cancel', { after: 1, jobIndex: null, status: 500 }, 'cancelled'],
  ],
  all: [
    ['1 ok, 0 ok', { after: 1, jobIndex: null, status: 200 }, 'completed'],
    ['0 404, 1 ok', { after: 1, jobIndex: null, status: 500 }, 'failed'],
    ['0 ok, 1 cancel', { after: 1, jobIndex: null, status: 500 }, 'cancelled'],
    ['0 ok, 1 retry', null, 'running'],
  ],
  none: [
    ['0 ok, 1 ok', null, 'completed'],
    ['0 404, 1 fails', null, 'failed'],
  ],
}

export function answerContract(register: Register): void {
  for (const respond of respondModes) {
    register(`the answer of respond ${respond} is decided by its rule, once and for all`, async ({ store }) => {
      for (const scenario of scenarios[respond]) await play(store, respond, scenario)
    })
  }
}

async function play(store: Store, respond: RespondMode, [ends, decision, state]: Scenario): Promise<void> {
  const run = runOf({ respond, jobs: [jobOf(), jobOf()] })
  await store.accept(run, start)
  const { jobs } = await store.claim(requestAt(start))
  const claims = jobs.filter(({ runId }) => runId === run.id)
  let answer: Answer | null = null
  let respondedAt: number | null = null
  for (const [step, entry] of ends.split(', ').entries()) {
    const [jobIndex = '', end = ''] = entry.split(' ')
    const at = start + 1 + step
    await settle(store, entryAt(claims, Number(jobIndex)), end, at)
    if (step === decision?.after) {
      answer = { mode: respond, jobIndex: decision.jobIndex, status: decision.status }
      respondedAt = at
    }
    const now = await runIn(store, run.id)
    assert.equal(now.answer, answer, `${ends}: after step ${step}`)
    assert.is(now.respondedAt, respondedAt, `${ends}: after step ${step}`)
  }
  assert.is((await runIn(store, run.id)).state, state, ends)
}

function settle(store: Store, claim: ClaimedJob, end: string, at: number): Promise<SettleResult | CancelResult> {
  switch (end) {
    case 'ok':
      return store.complete(claim, '"fine"', at)
    case 'fails':
      return store.fail(claim, taskError, null, at)
    case 'cancel':
      return store.cancel(claim.runId, claim.jobIndex, at)
    case 'retry':
      return store.fail(claim, taskError, at + 60_000, at)
    case 'release':
      return store.release(claim, at)
    default:
      return store.fail(claim, { ...taskError, status: Number(end) }, null, at)
  }
}
