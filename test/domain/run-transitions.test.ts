/** Whatever happens to a run, its record stays consistent, and its text holds all of it. */
import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { respondModes, firstFailurePolicies, runStateOf } from '../../src/domain/run.ts'
import { newRunId } from '../../src/domain/ids.ts'
import { isFinalJob } from '../../src/domain/job.ts'
import { failedDependency, missingOf, type Run, runningJobs } from '../../src/domain/run/aggregate.ts'
import { acceptRun } from '../../src/domain/run/new-run.ts'
import {
  boundDueTimes,
  cancelJobs,
  claimJobs,
  completeJob,
  expireJobs,
  failJob,
  noteLeaving,
  ownsClaim,
  releaseJob,
  rescueJobs,
  retryJob,
  shiftDueTimes,
} from '../../src/domain/run/transitions.ts'
import { changeOf } from '../../src/domain/run/verbs.ts'
import { decodeRun, encodeRun } from '../../src/store/run-codec.ts'
import { jobOf, runOf, start, taskError } from '../harness/store-run.ts'

const verbs = [
  'claim',
  'complete',
  'fail',
  'retry later',
  'release',
  'cancel',
  'cancel all',
  'retry',
  'rescue',
  'leave',
  'shift',
  'bound',
  'expire',
]

interface Step {
  readonly verb: string
  readonly index: number
}

function apply(run: Run, { verb, index }: Step, at: number): Run {
  const jobIndex = index % run.jobs.length
  const job = run.jobs[jobIndex]
  if (job === undefined) throw new Error('no such job')
  const claim = { runId: run.id, jobIndex, claim: job.claim }
  const isOwned = ownsClaim(run, claim)
  switch (verb) {
    case 'claim':
      return job.runAt === null ? run : claimJobs(run, [{ jobIndex, thread: 'worker-1' }], at)
    case 'complete':
      return isOwned ? completeJob(run, claim, '"done"', at) : run
    case 'fail':
      return isOwned ? failJob(run, claim, taskError, null, at) : run
    case 'retry later':
      return isOwned ? failJob(run, claim, taskError, at + 500, at) : run
    case 'release':
      return isOwned ? releaseJob(run, claim, at) : run
    case 'cancel':
      return cancelJobs(run, jobIndex, at)
    case 'cancel all':
      return cancelJobs(run, null, at)
    case 'retry':
      return job.state === 'failed' || job.state === 'cancelled' ? retryJob(run, jobIndex, at) : run
    case 'expire':
      return expireJobs(run, at)
    case 'leave':
      return noteLeaving(run, () => true, at)
    case 'shift':
      return shiftDueTimes(run, index)
    case 'bound':
      return boundDueTimes(run, at - 5 * index)
    default:
      return rescueJobs(run, () => true, at)
  }
}

/** What each job waits for: nothing, the first, the one before, two of them. */
const chains: readonly (readonly number[])[][] = [
  [],
  [[], [0], [0], [0]],
  [[], [0], [1], [2]],
  [[], [], [1, 0], [0, 2]],
]

const steps = fc.array(fc.record({ verb: fc.constantFrom(...verbs), index: fc.nat(3) }), { maxLength: 40 })

test('the state of a run follows from its jobs, its version grows with each visible change, and claims only grow', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...respondModes),
      fc.constantFrom(...firstFailurePolicies),
      fc.boolean(),
      fc.integer({ min: 1, max: 4 }),
      fc.constantFrom(...chains),
      steps,
      (respond, onFirstFailure, claimsFirst, size, chain, taken) => {
        const jobs = Array.from({ length: size }, (_, index) =>
          jobOf({ input: '{"a": 1}', after: chain[index] ?? [], expiresMs: 1 + index }),
        )
        let run = acceptRun(runOf({ respond, onFirstFailure, claimsFirst, jobs, tags: ['x'] }), start)
        for (const [place, step] of taken.entries()) {
          const before = run
          run = apply(before, step, start + place)
          check(before, run, step)
        }
        assert.equal(decodeRun(encodeRun(run), { id: run.id, version: run.version }), run)
      },
    ),
    { numRuns: 500 },
  )
})

function check(before: Run, run: Run, { verb }: Step): void {
  const count = (state: string): number => run.jobs.filter((job) => job.state === state).length
  const open = run.jobs.filter(({ state }) => !isFinalJob(state)).length
  assert.equal(run.counts, { open, failed: count('failed'), cancelled: count('cancelled') })
  assert.is(run.state, runStateOf(run.counts))
  assert.is(run.finishedAt === null, run.state === 'running')
  assert.ok(run === before || !isDeepStrictEqual(run, before), 'without a change the run is the same object')
  const isSeen = !['leave', 'shift', 'bound'].includes(verb)
  assert.is(run.version > before.version, isSeen && run !== before, 'the version grows with what readers see')
  for (const [index, job] of run.jobs.entries()) {
    assert.is(job.runAt !== null, job.state === 'queued' || job.state === 'retrying', 'waiting jobs are due sometime')
    assert.is(job.finishedAt !== null, isFinalJob(job.state))
    assert.ok(job.claim >= (before.jobs[index]?.claim ?? 0), 'claims only grow')
    assert.ok(job.attempt >= 0)
    checkChain(run, job)
  }
  if (before.answer !== null) assert.equal(run.answer, before.answer, 'an answer stays')
  const ended = runningJobs(before) - runningJobs(run)
  assert.ok(changeOf(before, run).voided.length <= Math.max(0, ended))
}

function checkChain(run: Run, { chain, state, attempt }: Run['jobs'][number]): void {
  if (chain === null) return assert.is.not(state, 'blocked')
  const [missing, lost] = [missingOf(run, chain), failedDependency(run, chain)]
  if (state === 'blocked') assert.ok(missing.length > 0 && lost === null, 'a blocked job waits for one that goes on')
  else if (state !== 'cancelled') assert.equal(missing, [], 'a job that is due has all that it needs')
  if (chain.cancelledBy === null) return
  assert.equal([state, attempt], ['cancelled', 0])
  assert.ok(['failed', 'cancelled'].includes(run.jobs[chain.cancelledBy]?.state ?? ''), 'and so it is')
}

test('the loss of a first job ends the others if its run says so, and rescues none of them', () => {
  const jobs = [jobOf({ maxAttempts: 1 }), jobOf(), jobOf()]
  let run = acceptRun(runOf({ id: newRunId(), claimsFirst: true, onFirstFailure: 'cancel', jobs }), start)
  run = claimJobs(run, [{ jobIndex: 1, thread: 'worker-1' }], start)
  for (let loss = 1; loss < 3; loss += 1) {
    run = claimJobs(
      rescueJobs(run, ({ jobIndex }) => jobIndex === 0, start),
      [{ jobIndex: 0, thread: 'main' }],
      start,
    )
  }
  run = rescueJobs(run, () => true, start)
  assert.equal(
    run.jobs.map(({ state }) => state),
    ['failed', 'cancelled', 'cancelled'],
  )
})

test('a retry waits since its failure, also when the failure is kept outside the record', () => {
  let run = acceptRun(runOf({ claimsFirst: true, jobs: [jobOf({ maxAttempts: 2 })] }), start)
  const claim = { runId: run.id, jobIndex: 0, claim: 1 }
  run = failJob(run, claim, taskError, start + 900, start + 400)
  const [job] = run.jobs
  if (job === undefined) throw new Error('no such job')
  const failures = [{ part: 1, bytes: 9_000, at: start, ms: 400 }]
  // The clock was set back by ten seconds while no process was running.
  for (const kept of [job, { ...job, failures }]) {
    assert.is(boundDueTimes({ ...run, jobs: [kept] }, start - 10_000).jobs[0]?.runAt, start - 9_500)
  }
})

test('a record of a newer format is refused by its number', () => {
  const run = acceptRun(runOf(), start)
  const text = encodeRun(run).replace('[1,', '[2,')
  assert.throws(() => decodeRun(text, { id: run.id, version: 1 }), /format 2/)
})

test.run()
