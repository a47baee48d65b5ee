/** The verbs of the store: the connection that each uses, and the writes that each waits for. */
import type { RunRecord } from '../../domain/run.ts'
import type { CancelResult } from '../../domain/run/verbs.ts'
import type { ClaimRequest, ClaimResult } from '../claim-request.ts'
import type { ScheduleResult, Store } from '../store.ts'
import { claimDue, type Claimed, type ClaimOptions, claimSuspect } from './writing/claim.ts'
import type { Quarantine } from './ownership/owned-claims.ts'
import { appErrorOf } from './connection/errors.ts'
import { claimDeliveries, retryDelivery, settleDelivery } from './statements/deliveries.ts'
import { defer, findKey, forgetKeys } from './statements/idempotency-keys.ts'
import type { BatchWriter } from './writing/batch-writer.ts'
import { operations, pruneRuns } from './writing/operations.ts'
import { changeSchedule, readDueSchedules, readSchedule, readSchedules } from './statements/schedules.ts'
import { expireRuns, leave } from './ownership/recovery.ts'
import { countAhead, type DueRequest, runsExpired } from './statements/queue.ts'
import { findRuns, listFound, listRuns } from './statements/lists.ts'
import { readInput, readJob, readRun, readSteps, shownWhole } from './statements/read.ts'
import { insertLines, pruneLines, readChunks } from './statements/lines.ts'
import { insertMinutes, pruneMinutes, readMinutes, readStats } from './statements/totals.ts'
import type { PostgresInbox } from './statements/inbox.ts'
import type { PausedTasks } from './statements/tasks.ts'
import type { Reader } from './connection/connection.ts'

export type Verbs = Omit<
  Store,
  | 'open'
  | 'close'
  | 'onChange'
  | 'backlog'
  | 'pausedTasks'
  | 'notifier'
  | 'rescue'
  | 'checkWritable'
  | 'shiftDueTimes'
  | 'releaseDeliveries'
>

export interface VerbsOptions extends ClaimOptions {
  /** Number of this process. */
  readonly process: number
  /** Accepts runs and claims jobs. */
  readonly intake: BatchWriter
  /** Settles, cancels, retries and removes. */
  readonly settling: BatchWriter
  readonly reader: Reader
  readonly awaitTakeUp: PostgresInbox['awaitTakeUp']
  readonly pausedTasks: PausedTasks
  readonly quarantine: Quarantine
}

export function createVerbs(options: VerbsOptions): Verbs {
  const { process, intake, settling, reader, awaitTakeUp, pausedTasks, readable, quarantine } = options
  const { query } = reader
  /** Resolves when every earlier operation is settled. */
  const quiet = (): Promise<unknown> => Promise.all([intake.settled(), settling.settled()])

  async function asked<Value>(work: Promise<Value>, what: string): Promise<Value> {
    try {
      return await work
    } catch (error) {
      throw appErrorOf(error, what)
    }
  }

  const behind = <Value>(what: string, work: () => Promise<Value>): Promise<Value> => asked(quiet().then(work), what)

  /** @throws AppError */
  async function claim(request: ClaimRequest): Promise<ClaimResult> {
    const suspect = async (): Promise<ClaimResult> => (await intake.askAlone(claimSuspect(request, options))) as Claimed
    if (request.only === 'suspects') return withoutRest(await suspect())
    const claimable = quarantine.claimable()
    if (claimable === 'none') return { jobs: [], nextDueAt: null }
    if (claimable === 'suspect') {
      const claimed = await suspect()
      if (claimed.jobs.length > 0) return withoutRest(claimed)
      quarantine.look(false)
    }
    const claimed = await claimInRounds({ ...request, mayHaveLostStart: claimable !== 'no-lost-start' })
    if (request.rates === undefined) return claimed
    return { ...claimed, ratedUntil: options.rateLimits.until(request, options.clock.now()) }
  }

  async function claimInRounds(request: DueRequest): Promise<ClaimResult> {
    const claimed = (await intake.ask(claimDue(request, options))) as Claimed
    const { jobs, nextDueAt, rest } = claimed
    if (rest === null) return { jobs, nextDueAt }
    // Jobs that are claimed stay claimed if the next round fails; a later claim asks again.
    const more = await claimInRounds(rest).catch(() => ({ jobs: [], nextDueAt: null }))
    return { jobs: [...jobs, ...more.jobs], nextDueAt: earliest(nextDueAt, more.nextDueAt) }
  }

  /**
   * Does the work again if it gave `none`: the run may be a request of the inbox. Also if the inbox does not have it, for
   * its run may have been accepted between the two looks.
   */
  async function onceTakenUp<Value>(id: string, none: Value, work: () => Promise<Value>): Promise<Value> {
    const value = await work()
    if (value !== none) return value
    await awaitTakeUp(id)
    return work()
  }

  /** Returns the run as a write under way leaves it; without such a write, reads it. */
  async function getRun(id: string): Promise<RunRecord | null> {
    const written = await Promise.all([settling.settledOf(id), intake.settledOf(id)])
    const stored = written.reduce((one, other) => ((other?.revision ?? 0) > (one?.revision ?? 0) ? other : one))
    const shown = stored ? shownWhole(stored.run) : null
    return (
      shown ??
      asked(
        onceTakenUp(id, null, () => readRun(query, id)),
        'getRun',
      )
    )
  }

  const ask =
    <Args extends unknown[]>(lane: BatchWriter, operation: (...args: Args) => Parameters<BatchWriter['ask']>[0]) =>
    async <Value>(...args: Args): Promise<Value> =>
      (await lane.ask(operation(...args))) as Value

  const cancel = ask(settling, operations.cancel)

  return {
    accept: ask(intake, operations.accept),
    claim,
    complete: ask(settling, operations.complete),
    fail: ask(settling, operations.fail),
    release: ask(settling, operations.release),
    keepStep: ask(settling, operations.keepStep),
    async expire(at) {
      const ids = await asked(runsExpired(query, at, readable), 'expire')
      return ids.length === 0 ? 0 : ((await settling.askAlone(expireRuns(ids, readable, at))) as number)
    },
    setPaused: (task, isPaused) => asked(pausedTasks.set(task, isPaused), 'setPaused'),
    cancel: (...of) =>
      asked(
        onceTakenUp<CancelResult>(of[0], 'not-found', () => cancel(...of)),
        'cancel',
      ),
    retry: ask(settling, operations.retry),
    remove: ask(settling, operations.remove),
    async leave(at) {
      await quiet()
      return (await intake.askAlone(leave(process, readable, at))) as number
    },
    defer: (runId) => behind('defer', () => defer(query, runId)),
    async prune(finishedBefore, limit, at) {
      const runs = (await settling.askAlone(pruneRuns(finishedBefore, limit, readable))) as number
      return runs + (await asked(forgetKeys(query, limit, at), 'prune'))
    },
    claimDeliveries: (request) => asked(claimDeliveries(query, process, request), 'claimDeliveries'),
    settleDelivery: (...how) => asked(settleDelivery(query, process, ...how), 'settleDelivery'),
    retryDelivery: (...which) => behind('retryDelivery', () => retryDelivery(query, ...which)),
    getRun,
    getJob: (runId, jobIndex) =>
      asked(
        Promise.all([settling.settledOf(runId), intake.settledOf(runId)]).then(() =>
          onceTakenUp(runId, null, () => readJob(query, runId, jobIndex)),
        ),
        'getJob',
      ),
    countAhead: (runId, jobIndex, at) =>
      behind('countAhead', () => countAhead(query, options.tasks, runId, jobIndex, at)),
    getInput: (runId, jobIndex) =>
      asked(
        Promise.all([settling.settledOf(runId), intake.settledOf(runId)]).then(() => readInput(query, runId, jobIndex)),
        'getInput',
      ),
    findKey: (key, at) => behind('findKey', () => findKey(query, key, at)),
    keepLines: (chunks, at) => asked(insertLines(query, chunks, at), 'keepLines'),
    pruneLines: (before, maxBytes) => asked(pruneLines(query, before, maxBytes), 'pruneLines'),
    addMinutes: (rows) => asked(insertMinutes(query, rows), 'addMinutes'),
    pruneMinutes: (before) => asked(pruneMinutes(query, before), 'pruneMinutes'),
    minutesOf: (range) => asked(readMinutes(query, range), 'minutesOf'),
    chunksOf: (runId, fromId) => asked(readChunks(query, runId, fromId), 'chunksOf'),
    stepsOf: (held, from) => asked(readSteps(query, held, from), 'stepsOf'),
    listRuns: (filter) =>
      behind('listRuns', async () => {
        const { words } = filter
        if (words === undefined) return listRuns(query, readable, filter)
        return listFound(query, readable, await findRuns(reader, filter, words))
      }),
    stats: (at) => behind('stats', () => readStats(query, at)),
    changeSchedule: async (change, at) => (await intake.askAlone(changeSchedule(change, at))) as ScheduleResult,
    getSchedule: (name) => behind('getSchedule', () => readSchedule(query, name)),
    listSchedules: () => behind('listSchedules', () => readSchedules(query)),
    dueSchedules: (at) => behind('dueSchedules', () => readDueSchedules(query, at)),
  }
}

function withoutRest({ jobs, nextDueAt }: ClaimResult): ClaimResult {
  return { jobs, nextDueAt }
}

function earliest(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other
  return Math.min(one, other)
}
