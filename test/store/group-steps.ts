/** Operations on a store's thread, drawn at random; which run and which claim they are about is found when they are asked. */
import * as fc from 'fast-check'
import type { Claim } from '../../src/domain/claim.ts'
import { newRunId } from '../../src/domain/ids.ts'
import type { JobError } from '../../src/domain/job.ts'
import type { Operation } from '../../src/store/sqlite/messages.ts'
import { jobOf, requestAt, runOf, start } from '../harness/store-run.ts'

/** What is known of the store when operations are asked. */
export interface Known {
  at: number
  readonly ids: string[]
  readonly claims: Claim[]
}

export type Step = (known: Known) => Operation | null

const [small, large] = ['"x"', `"${'x'.repeat(600)}"`]
const texts = fc.constantFrom(null, small, `"${'x'.repeat(300)}"`, large)
const errors = fc.constantFrom<JobError>(
  { code: 'task_error', message: 'no' },
  { code: 'task_error', message: 'no', stack: 'x'.repeat(200) },
  { code: 'timeout', message: 'late', stack: 'x'.repeat(600) },
)
const newJob = fc.record({
  task: fc.constantFrom('echo', 'sum'),
  kind: fc.constantFrom('io' as const, 'cpu' as const),
  input: texts,
  priority: fc.constantFrom(0, 0, 5),
  maxAttempts: fc.constantFrom(1, 3),
  delayMs: fc.constantFrom(0, 0, 40),
})
const jobs = fc.oneof(
  { arbitrary: fc.array(newJob, { minLength: 1, maxLength: 2 }), weight: 4 },
  // More than a record has room for.
  { arbitrary: fc.array(newJob, { minLength: 10, maxLength: 16, size: 'max' }), weight: 1 },
)
const nth = fc.nat({ max: 3 })

/** One of the latest. */
function latest<Entry>(entries: readonly Entry[], place: number): Entry | undefined {
  return entries.at(-1 - (place % Math.max(1, entries.length)))
}

const ofRun = (place: number, ask: (id: string, known: Known) => Operation): Step => {
  return (known) => {
    const id = latest(known.ids, place)
    return id === undefined ? null : ask(id, known)
  }
}

/** Also under the next claim of the job, which this group may make. */
const ofClaim = (place: number, ahead: number, ask: (claim: Claim, known: Known) => Operation): Step => {
  return (known) => {
    const claim = latest(known.claims, place)
    return claim === undefined ? null : ask({ ...claim, claim: claim.claim + ahead }, known)
  }
}

const accept = fc
  .tuple(jobs, fc.boolean(), fc.constantFrom('continue' as const, 'cancel' as const), fc.boolean(), nth, nth)
  .map(([list, claimsFirst, onFirstFailure, isAgain, place, key]): Step => {
    return (known) => {
      const id = (isAgain && place === 0 ? latest(known.ids, key) : undefined) ?? newRunId()
      known.ids.push(id)
      if (claimsFirst) known.claims.push({ runId: id, jobIndex: 0, claim: 1 })
      const idempotency =
        key === 0 ? { scope: '', key: String(place % 2), bodyDigest: String(place % 3), isDeferred: false } : null
      const run = runOf({ id, claimsFirst, onFirstFailure, idempotency, tags: ['a', 'b'].slice(place % 3) })
      return { verb: 'accept', args: [{ ...run, jobs: list.map((job) => jobOf(job)) }, known.at] }
    }
  })
const claim = fc
  .tuple(
    fc.constantFrom(1, 2, 9),
    fc.constantFrom({}, { sum: 1 }),
    fc.constantFrom('all' as const, 'suspects' as const),
    fc.constantFrom({}, { rates: { echo: { limit: 2, perMs: 25 } } }),
  )
  .map(([count, taskLimits, only, rates]): Step => {
    const slots = [
      { thread: 'w', kind: 'cpu', count },
      { thread: 'v', kind: 'io', count },
    ] as const
    return ({ at }) => ({ verb: 'claim', args: [requestAt(at, { slots, taskLimits, only, ...rates })] })
  })
const ahead = fc.constantFrom(0, 0, 0, 1)
const settle = fc.oneof(
  fc
    .tuple(nth, ahead, texts)
    .map(([place, by, text]) =>
      ofClaim(place, by, (one, { at }) => ({ verb: 'complete', args: [one, text ?? small, at] })),
    ),
  fc
    .tuple(nth, ahead, errors, fc.boolean())
    .map(([place, by, error, isFinal]) =>
      ofClaim(place, by, (one, { at }) => ({ verb: 'fail', args: [one, error, isFinal ? null : at + 10, at] })),
    ),
  fc
    .tuple(nth, ahead)
    .map(([place, by]) => ofClaim(place, by, (one, { at }) => ({ verb: 'release', args: [one, at] }))),
)
const keepStep = fc
  .tuple(nth, ahead, fc.constantFrom('a', 'b'), texts)
  .map(([place, by, name, text]) =>
    ofClaim(place, by, (one, { at }) => ({ verb: 'keepStep', args: [one, { name, value: text ?? small }, at] })),
  )
const ofRuns = fc.oneof(
  fc
    .tuple(nth, fc.option(nth, { freq: 1 }))
    .map(([place, index]) => ofRun(place, (id, { at }) => ({ verb: 'cancel', args: [id, index, at] }))),
  fc.tuple(nth, nth).map(([place, index]) => ofRun(place, (id, { at }) => ({ verb: 'retry', args: [id, index, at] }))),
  nth.map((place) => ofRun(place, (id) => ({ verb: 'remove', args: [id] }))),
  nth.map((place) => ofRun(place, (id) => ({ verb: 'defer', args: [id] }))),
)
const ofAll = fc.oneof(
  fc.constant<Step>(({ at }) => ({ verb: 'leave', args: [at] })),
  fc.constant<Step>(({ at }) => ({ verb: 'rescue', args: [at] })),
  fc.constant<Step>(({ at }) => ({ verb: 'prune', args: [at - 200, 2, at] })),
  fc.constantFrom(-30, 30).map((by): Step => () => ({ verb: 'shiftDueTimes', args: [by] })),
  fc.constant<Step>(() => ({ verb: 'checkWritable', args: [] })),
  fc.constantFrom(true, false, false).map((isPaused): Step => () => ({ verb: 'setPaused', args: ['echo', isPaused] })),
)

export interface DrawnGroup {
  readonly steps: readonly Step[]
  /** Pages that the disk has room for; null: enough. */
  readonly room: number | null
  /** Whether the file is opened again before. */
  readonly opensAgain: boolean
}

/** Operations that are asked at once. */
export const groups: fc.Arbitrary<DrawnGroup[]> = fc.array(
  fc.record({
    steps: fc.array(
      fc.oneof(
        { arbitrary: accept, weight: 3 },
        { arbitrary: claim, weight: 3 },
        { arbitrary: settle, weight: 6 },
        { arbitrary: keepStep, weight: 3 },
        { arbitrary: ofRuns, weight: 6 },
        { arbitrary: ofAll, weight: 2 },
      ),
      { minLength: 1, maxLength: 8, size: 'max' },
    ),
    room: fc.constantFrom(null, null, null, 0, 1, 3),
    opensAgain: fc.constantFrom(false, false, false, false, true),
  }),
  { minLength: 1, maxLength: 20, size: 'max' },
)

export const beginning = (): Known => ({ at: start, ids: [], claims: [] })
