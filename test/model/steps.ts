/** What may be asked of the store, drawn at random; which run or claim it is about is found when it is asked. */
import * as fc from 'fast-check'
import { randomUUID } from 'node:crypto'
import { respondModes, firstFailurePolicies } from '../../src/domain/run.ts'
import type { Claim } from '../../src/domain/claim.ts'
import { newRunId } from '../../src/domain/ids.ts'
import type { JobError } from '../../src/domain/job.ts'
import type { NewRun } from '../../src/domain/run/new-run.ts'
import { jobOf, runOf } from '../harness/store-run.ts'
import type { Call } from './calls.ts'
import type { Model } from './state.ts'

export interface World {
  model: Model
  /** Every id that was accepted or refused, in order. */
  readonly ids: string[]
}

/** @param members the processes that can be asked; null where there is nothing yet that it could be about */
export type Ask = (world: World, members: readonly number[]) => Call | null

/** How it is printed, and what is asked. */
export interface Step {
  readonly name: string
  readonly ask: Ask
}

const tasks = [
  { task: 'quick', kind: 'io' },
  { task: 'slow', kind: 'io' },
  { task: 'sum', kind: 'cpu' },
] as const

const job = fc.record({
  task: fc.constantFrom(...tasks),
  priority: fc.constantFrom(0, 0, 5, 9),
  maxAttempts: fc.constantFrom(1, 3, 4),
  delayMs: fc.constantFrom(0, 0, 0, 40),
  after: fc.constantFrom([], [], [], [0], [0], [1], [1, 0]),
  expiresMs: fc.constantFrom(undefined, undefined, undefined, 1, 41),
})
const key = fc.record({
  scope: fc.constantFrom('', 'caller'),
  key: fc.constantFrom('k', 'l'),
  bodyDigest: fc.constantFrom('d', 'd', 'e'),
  isDeferred: fc.boolean(),
})
const newRun = fc.record({
  respond: fc.constantFrom(...respondModes),
  onFirstFailure: fc.constantFrom(...firstFailurePolicies),
  tags: fc.constantFrom([], ['a'], ['a', 'b']),
  webhook: fc.constantFrom(null, 'https://hooks.example/'),
  jobs: fc.array(job, { minLength: 1, maxLength: 3 }),
  claimsFirst: fc.boolean(),
  idempotency: fc.option(key, { freq: 2 }),
})
const room = fc.constantFrom(0, 1, 1, 2, 9)
const slots = fc.tuple(room, room, room).map(([first, second, third]) => [
  { thread: 'io-1', kind: 'io' as const, count: first },
  { thread: 'io-2', kind: 'io' as const, count: second },
  { thread: 'cpu-1', kind: 'cpu' as const, count: third },
])
const taskLimits = fc.constantFrom({}, {}, {}, { quick: 1 }, { quick: 0, sum: 1 })
/** A claim without the rate of a task takes what there is, and its starts do not count. */
const rateLimits = fc.constantFrom({}, {}, { quick: 1 }, { quick: 2, sum: 1 })
/** Mostly the newest. */
const place = fc.oneof({ weight: 4, arbitrary: fc.nat(3) }, { weight: 1, arbitrary: fc.nat(30) })
const who = fc.nat(3)
const index = fc.constantFrom(0, 0, 1, 2)

function newest<Value>(values: readonly Value[], nth: number): Value | undefined {
  return values.length === 0 ? undefined : values[values.length - 1 - (nth % values.length)]
}

const memberAt = (members: readonly number[], nth: number): number => members[nth % members.length] ?? 0

function step(what: string, given: unknown, ask: Ask): Step {
  return { name: `${what} ${JSON.stringify(given)}`, ask }
}

const accept = fc.tuple(newRun, who).map(([{ jobs, ...run }, by]) =>
  step('accept', { ...run, jobs }, ({ model, ids }, members) => {
    const id = newRunId()
    ids.push(id)
    const given: NewRun = {
      id,
      traceparent: null,
      ...run,
      jobs: jobs.map(({ task, after, expiresMs, ...rest }, nth) => {
        const earlier = after.filter((other) => other < nth)
        return jobOf({
          ...task,
          ...rest,
          after: earlier,
          ...(expiresMs && { expiresMs }),
          ...(nth === 0 && run.claimsFirst && { delayMs: 0 }),
        })
      }),
    }
    return { verb: 'accept', by: memberAt(members, by), args: [given, model.at] }
  }),
)

/** Mostly from the latest revision, as a tick of several processes does it: one of them makes the run. */
const tick = fc
  .tuple(fc.constantFrom('nightly', 'hourly'), fc.constantFrom('latest', 'latest', 'other', 'none'), fc.boolean(), who)
  .map(([name, from, isRemoved, by]) =>
    step('tick', { name, from, isRemoved }, ({ model, ids }, members) => {
      const latest = model.schedules.get(name) ?? null
      const revision = randomUUID()
      const state = {
        isDeclared: false,
        isPaused: false,
        nextAt: model.at,
        lastAt: null,
        lastRunId: null,
        problem: null,
      }
      const to = { name, revision, cron: '* * * * *', timeZone: 'UTC', request: '{}', missed: 'one' as const, ...state }
      const run = isRemoved ? null : runOf({ id: newRunId(), respond: 'none', tags: [`schedule:${name}`] })
      if (run !== null) ids.push(run.id)
      const read = { latest, other: 'of another one', none: null }[from]
      const change = { name, from: read, to: isRemoved ? null : to, run }
      return { verb: 'changeSchedule', by: memberAt(members, by), args: [change, model.at] }
    }),
  )

/** The same id once more is refused, and must take nothing away from what is asked with it. */
const acceptTwice = fc.tuple(place, who).map(([nth, by]) =>
  step('accept again', nth, ({ model }, members) => {
    // One that is finished could be forgotten at the same time.
    const run = newest(
      [...model.runs.values()].filter(({ finishedAt }) => finishedAt === null),
      nth,
    )
    if (run === undefined) return null
    return { verb: 'accept', by: memberAt(members, by), args: [{ ...run.given, idempotency: null }, model.at] }
  }),
)

const claim = fc
  .tuple(slots, taskLimits, rateLimits, fc.constantFrom('all', 'all', 'all', 'all', 'suspects'), who)
  .map(([free, limits, perWindow, only, by]) =>
    step('claim', { slots: free.map(({ count }) => count), limits, perWindow, only }, ({ model }, members) => {
      const { ratePerMs: perMs } = model
      const rates = Object.entries(perWindow).flatMap(([task, limit]) =>
        perMs === null ? [] : [[task, { limit, perMs }]],
      )
      const request = {
        slots: free,
        taskLimits: limits,
        ...(rates.length > 0 && { rates: Object.fromEntries(rates) }),
        only: only === 'all' ? 'all' : 'suspects',
        at: model.at,
      } as const
      return { verb: 'claim', by: memberAt(members, by), args: [request] }
    }),
  )

const plenty = [
  { thread: 'io-1', kind: 'io', count: 50 },
  { thread: 'cpu-1', kind: 'cpu', count: 50 },
] as const

/** Takes all that is due. */
export function claimAll(nth: number): Step {
  return step('claim all', null, ({ model: { at } }, members) => {
    return { verb: 'claim', by: memberAt(members, nth), args: [{ slots: plenty, taskLimits: {}, only: 'all', at }] }
  })
}

/** Takes one job of each task, where the rates of a single process allow that. */
export function claimOneOfEach(nth: number): Step {
  return step('claim one of each', null, ({ model: { at, ratePerMs } }, members) => {
    const rated = ratePerMs !== null && {
      rates: Object.fromEntries(tasks.map(({ task }) => [task, { limit: 1, perMs: ratePerMs }])),
    }
    return {
      verb: 'claim',
      by: memberAt(members, nth),
      args: [{ slots: plenty, taskLimits: {}, ...rated, only: 'all', at }],
    }
  })
}

const error: JobError = { code: 'task_error', message: 'it did not work' }
const settling = fc.oneof(
  fc.record({ verb: fc.constant('complete' as const), result: fc.constantFrom('1', '2') }),
  fc.record({
    verb: fc.constant('fail' as const),
    retryAfterMs: fc.constantFrom(null, null, 0, 40),
    status: fc.constantFrom(undefined, undefined, 302, 404, 503),
  }),
  fc.record({ verb: fc.constant('release' as const) }),
)

/** Any claim that was ever given, and now and then one that never was. */
const settle = fc
  .tuple(settling, place, fc.constantFrom(0, 0, 0, 0, 0, 0, 1, -1), who)
  .map(([how, nth, shift, other]) =>
    step('settle', { ...how, nth, shift }, ({ model }, members) => {
      const given = newest(model.given, nth)
      if (given === undefined) return null
      const { at } = model
      const by = members.includes(given.holder) ? given.holder : memberAt(members, other)
      const held: Claim = { ...given.claim, claim: given.claim.claim + shift }
      if (how.verb === 'complete') return { verb: how.verb, by, args: [held, how.result, at] }
      if (how.verb === 'release') return { verb: how.verb, by, args: [held, at] }
      const thrown = how.status === undefined ? error : { ...error, status: how.status }
      return { verb: how.verb, by, args: [held, thrown, how.retryAfterMs === null ? null : at + how.retryAfterMs, at] }
    }),
  )

/** Under any claim that was ever given. A value is what its name says, for a name may come twice. */
const keepStep = fc
  .tuple(fc.constantFrom('a', 'b', 'c'), place, fc.constantFrom(0, 0, 0, 0, 1, -1), who)
  .map(([name, nth, shift, other]) =>
    step('keep step', { name, nth, shift }, ({ model }, members) => {
      const given = newest(model.given, nth)
      if (given === undefined) return null
      const by = members.includes(given.holder) ? given.holder : memberAt(members, other)
      const held: Claim = { ...given.claim, claim: given.claim.claim + shift }
      return { verb: 'keepStep', by, args: [held, { name, value: `"${name}"` }, model.at] }
    }),
  )

const ofRun = fc
  .tuple(fc.constantFrom('cancel', 'cancel', 'cancel all', 'retry', 'retry', 'remove', 'defer'), place, index, who)
  .map(([what, nth, jobIndex, asked]) =>
    step(what, { nth, jobIndex }, ({ model: { at }, ids }, members) => {
      const id = newest(ids, nth)
      const by = memberAt(members, asked)
      if (id === undefined) return null
      if (what === 'remove' || what === 'defer') return { verb: what, by, args: [id] }
      if (what === 'retry') return { verb: what, by, args: [id, jobIndex, at] }
      return { verb: 'cancel', by, args: [id, what === 'cancel' ? jobIndex : null, at] }
    }),
  )

const prune = fc.tuple(fc.constantFrom(-100, 1), who).map(([shiftMs, by]) =>
  step('prune', shiftMs, ({ model: { at } }, members) => {
    return { verb: 'prune', by: memberAt(members, by), args: [at + shiftMs, 100, at] }
  }),
)

const rescue = who.map((by) =>
  step('rescue', null, ({ model: { at } }, members) => ({ verb: 'rescue', by: memberAt(members, by), args: [at] })),
)

const expire = who.map((by) =>
  step('expire', null, ({ model: { at } }, members) => ({ verb: 'expire', by: memberAt(members, by), args: [at] })),
)

const setPaused = fc
  .tuple(fc.constantFrom(...tasks), fc.constantFrom(true, false, false), who)
  .map(([{ task }, isPaused, by]) =>
    step('set paused', { task, isPaused }, (_world, members) => {
      return { verb: 'setPaused', by: memberAt(members, by), args: [task, isPaused] }
    }),
  )

/** Has no task paused any more. */
export const resumeAll: readonly Step[] = tasks.map(({ task }) => ({
  name: `resume ${task}`,
  ask: (_world, members) => ({ verb: 'setPaused', by: memberAt(members, 0), args: [task, false] }),
}))

export const anyStep = fc.oneof(
  { weight: 5, arbitrary: accept },
  { weight: 1, arbitrary: acceptTwice },
  { weight: 5, arbitrary: claim },
  { weight: 8, arbitrary: settle },
  { weight: 4, arbitrary: keepStep },
  { weight: 4, arbitrary: ofRun },
  { weight: 1, arbitrary: prune },
  { weight: 1, arbitrary: rescue },
  { weight: 1, arbitrary: expire },
  { weight: 1, arbitrary: setPaused },
  { weight: 2, arbitrary: tick },
)
