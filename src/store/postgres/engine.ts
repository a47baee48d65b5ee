/**
 * The engine that several processes share: the verbs of the contract, the connection that each uses, and the writes that
 * each waits for. Its parts (`service.ts`) are made when the database can be reached and has given this process its number.
 */
import { AppError } from '../../domain/errors.ts'
import type { CancelResult } from '../../domain/run/verbs.ts'
import { createTurnScheduler } from '../../runtime/event-loop.ts'
import type { ClaimRequest, ClaimResult } from '../claim-requests.ts'
import type { ScheduleResult, Store } from '../store.ts'
import type { Query } from './connection/connection.ts'
import { appErrorOf } from './connection/errors.ts'
import { createSubscribers } from './notifications/notifier.ts'
import { expireRuns, leave } from './ownership/recovery.ts'
import { type PostgresOptions, type Service, startService } from './service.ts'
import { claimDeliveries, releaseDeliveries, retryDelivery, endDeliveryTry } from './statements/deliveries.ts'
import { defer, findKey, forgetKeys } from './statements/idempotency-keys.ts'
import { insertLines, pruneLines, readChunks } from './statements/lines.ts'
import { listRuns } from './statements/lists.ts'
import { countAhead, type DueRequest, readExpired } from './statements/queue.ts'
import { readInput, readJob, readRun, readSteps, shownWhole } from './statements/read.ts'
import { changeSchedule, readDueSchedules, readSchedule, readSchedules } from './statements/schedules.ts'
import { insertMinutes, pruneMinutes, readMinutes, readStats } from './statements/totals.ts'
import { claimDue, type Claimed, claimSuspect } from './writing/claim.ts'
import { type Operation, operations, pruneRuns } from './writing/operations.ts'

/** Each reply causes up to a tenth of a millisecond of work. */
const repliesPerTurn = 32
const none: ReadonlySet<string> = new Set()

export function createPostgresStore(options: PostgresOptions): Store {
  const turns = createTurnScheduler(repliesPerTurn)
  const subscribers = createSubscribers(turns)
  const { tasks = null } = options
  let service: Service | null = null
  let starting: Promise<Service> | null = null
  let closing: Promise<void> | null = null

  function opened(): Service {
    if (service === null || closing !== null) throw new AppError('store-unavailable', 'the store is not open')
    return service
  }

  /** A verb of a group: the writer runs its operation. */
  const inGroup =
    <Args extends unknown[]>(writer: 'intake' | 'settling', operation: (...args: Args) => Operation) =>
    async <Value>(...args: Args): Promise<Value> =>
      (await opened()[writer].submit(operation(...args))) as Value

  /** A verb outside of groups. @throws AppError */
  async function ask<Value>(what: string, work: (query: Query, of: Service) => Value | Promise<Value>): Promise<Value> {
    const of = opened()
    try {
      return await work(of.reader.query, of)
    } catch (error) {
      throw appErrorOf(error, what)
    }
  }

  /** The same after every earlier operation. */
  const askQuiet = <Value>(what: string, work: (query: Query, of: Service) => Promise<Value>): Promise<Value> =>
    ask(what, async (query, of) => {
      await Promise.all([of.intake.earlierReplies(), of.settling.earlierReplies()])
      return work(query, of)
    })

  /** The same after earlier operations on the run. */
  const askAbout = <Value>(
    what: string,
    runId: string,
    work: (query: Query, of: Service) => Promise<Value>,
  ): Promise<Value> =>
    ask(what, async (query, of) => {
      await Promise.all([of.settling.latestWrite(runId), of.intake.latestWrite(runId)])
      return work(query, of)
    })

  /**
   * Does the work again if it gave `missing`: the run may be a request of the inbox. Also if the inbox does not have it, for
   * its run may have been accepted between the two looks.
   */
  async function onceTakenUp<Value>(runId: string, missing: Value, work: () => Promise<Value>): Promise<Value> {
    const value = await work()
    if (value !== missing) return value
    await opened().inbox.awaitTakeUp(runId)
    return work()
  }

  /** @throws AppError */
  async function claim(request: ClaimRequest): Promise<ClaimResult> {
    const { quarantine, intake, claiming } = opened()
    const suspect = async (): Promise<ClaimResult> => {
      const { jobs, nextDueAt } = (await intake.submitAlone(claimSuspect(request, claiming))) as Claimed
      return { jobs, nextDueAt }
    }
    if (request.only === 'suspects') return suspect()
    const claimable = quarantine.claimable()
    if (claimable === 'none') return { jobs: [], nextDueAt: null }
    if (claimable === 'suspect') {
      const claimed = await suspect()
      if (claimed.jobs.length > 0) return claimed
      quarantine.noteSuspects(false)
    }
    const claimed = await claimInRounds({ ...request, mayHaveLostStart: claimable !== 'no-lost-start' })
    if (request.rates === undefined) return claimed
    return { ...claimed, ratedUntil: claiming.rateLimits.until(request, options.clock.now()) }
  }

  async function claimInRounds(request: DueRequest): Promise<ClaimResult> {
    const { intake, claiming } = opened()
    const { jobs, nextDueAt, rest } = (await intake.submit(claimDue(request, claiming))) as Claimed
    if (rest === null) return { jobs, nextDueAt }
    // Jobs that are claimed stay claimed if the next round fails; a later claim asks again.
    const more = await claimInRounds(rest).catch(() => ({ jobs: [], nextDueAt: null }))
    const next = Math.min(nextDueAt ?? Infinity, more.nextDueAt ?? Infinity)
    return { jobs: [...jobs, ...more.jobs], nextDueAt: Number.isFinite(next) ? next : null }
  }

  const cancel = inGroup('settling', operations.cancel)

  return {
    async open() {
      if (starting !== null) throw new Error('the store was opened before')
      starting = startService(options, subscribers, turns)
      service = await starting
    },
    async close() {
      starting ??= Promise.reject(new Error('the store was closed before it was opened'))
      closing ??= starting.then(
        (started) => started.stop(),
        () => {},
      )
      await closing
    },
    onChange: subscribers.onChange,
    canSearch: options.hasSearch === true,
    inbox: { onRequests: subscribers.onRequests, take: async (...of) => opened().inbox.take(...of) },
    backlog: () => service?.backlog() ?? 0,
    pausedTasks: () => service?.pausedTasks.all() ?? none,
    notifier: {
      onWork: subscribers.onWork,
      onGap: subscribers.onGap,
      onTakeover: subscribers.onTakeover,
      publishProgress: async (progress) => service?.publishProgress(progress),
      watchedSince: (at) => ask('watchedSince', (_query, of) => of.watchedSince(at)),
      remoteProgress: (...of) => service?.remoteProgress(...of) ?? null,
      lostClaims: () => service?.lostClaims() ?? 0,
    },

    accept: inGroup('intake', operations.accept),
    claim,
    complete: inGroup('settling', operations.complete),
    fail: inGroup('settling', operations.fail),
    release: inGroup('settling', operations.release),
    keepStep: inGroup('settling', operations.keepStep),
    retry: inGroup('settling', operations.retry),
    remove: inGroup('settling', operations.remove),
    // A request of the inbox can be cancelled; it has nothing yet to retry or to remove.
    cancel: (runId, ...of) =>
      ask('cancel', () => onceTakenUp<CancelResult>(runId, 'not-found', () => cancel(runId, ...of))),
    expire: (at) =>
      ask('expire', async (query, { settling, decoder }) => {
        const ids = await readExpired(query, at, decoder)
        return ids.length === 0 ? 0 : ((await settling.submitAlone(expireRuns(ids, decoder, at))) as number)
      }),
    leave: (at) =>
      askQuiet('leave', async (_, { intake, process, decoder }) => {
        return (await intake.submitAlone(leave(process, decoder, at))) as number
      }),
    rescue: async (at) => opened().takeOver(at),
    prune: (finishedBefore, limit, at) =>
      ask('prune', async (query, { settling, decoder }) => {
        const runs = (await settling.submitAlone(pruneRuns(finishedBefore, limit, decoder))) as number
        return runs + (await forgetKeys(query, limit, at))
      }),
    // Several processes share the store, and each has a clock of its own.
    shiftDueTimes: () => Promise.resolve(),
    checkWritable: async () => opened().probe(),

    getRun: (id) =>
      ask('getRun', async (query, { intake, settling }) => {
        // The run as a write under way leaves it; without such a write it is read.
        const written = await Promise.all([settling.latestWrite(id), intake.latestWrite(id)])
        const stored = written.reduce((one, other) => ((other?.revision ?? 0) > (one?.revision ?? 0) ? other : one))
        const shown = stored ? shownWhole(stored.run) : null
        return shown ?? onceTakenUp(id, null, () => readRun(query, id))
      }),
    getJob: (runId, jobIndex) =>
      askAbout('getJob', runId, (query) => onceTakenUp(runId, null, () => readJob(query, runId, jobIndex))),
    getInput: (runId, jobIndex) => askAbout('getInput', runId, (query) => readInput(query, runId, jobIndex)),
    countAhead: (...of) => askQuiet('countAhead', (query) => countAhead(query, tasks, ...of)),
    listRuns: (filter) => askQuiet('listRuns', (_, { reader, decoder }) => listRuns(reader, decoder, filter)),
    stats: (at) => askQuiet('stats', (query) => readStats(query, at)),
    stepsOf: (...of) => ask('stepsOf', (query) => readSteps(query, ...of)),

    findKey: (...of) => askQuiet('findKey', (query) => findKey(query, ...of)),
    defer: (runId) => askQuiet('defer', (query) => defer(query, runId)),
    setPaused: (task, isPaused) =>
      ask('setPaused', async (_, { pausedTasks, intake, wakeForWork }) => {
        await pausedTasks.set(task, isPaused)
        // A claim that is under way may have looked before.
        await intake.earlierReplies()
        wakeForWork()
      }),
    keepLines: (...of) => ask('keepLines', (query) => insertLines(query, ...of)),
    pruneLines: (...of) => ask('pruneLines', (query) => pruneLines(query, ...of)),
    chunksOf: (...of) => ask('chunksOf', (query) => readChunks(query, ...of)),
    addMinutes: (rows) => ask('addMinutes', (query) => insertMinutes(query, rows)),
    pruneMinutes: (before) => ask('pruneMinutes', (query) => pruneMinutes(query, before)),
    minutesOf: (range) => ask('minutesOf', (query) => readMinutes(query, range)),
    claimDeliveries: (request) =>
      ask('claimDeliveries', (query, { process }) => claimDeliveries(query, process, request)),
    endDeliveryTry: (...of) => ask('endDeliveryTry', (query, { process }) => endDeliveryTry(query, process, ...of)),
    retryDelivery: (...of) => askQuiet('retryDelivery', (query) => retryDelivery(query, ...of)),
    releaseDeliveries: (kept) =>
      ask('releaseDeliveries', (query, { process, silentProcesses }) => {
        return releaseDeliveries(query, process, kept, silentProcesses(), options.clock.now())
      }),
    changeSchedule: async (...of) => (await opened().intake.submitAlone(changeSchedule(...of))) as ScheduleResult,
    getSchedule: (name) => askQuiet('getSchedule', (query) => readSchedule(query, name)),
    listSchedules: () => askQuiet('listSchedules', (query) => readSchedules(query)),
    dueSchedules: (at) => askQuiet('dueSchedules', (query) => readDueSchedules(query, at)),
  }
}
