/**
 * The store that several processes share: which part of the engine each verb uses, and for which writes it waits. `service.ts`
 * makes the parts once the database can be reached and has given this process its number.
 */
import { AppError } from '../../domain/errors.ts'
import type { CancelResult } from '../../domain/run/verbs.ts'
import { createTurnScheduler } from '../../runtime/event-loop.ts'
import { type ClaimRequest, type ClaimResult, earliest } from '../claim-requests.ts'
import type { ScheduleResult, Store } from '../store.ts'
import type { Query } from './connection/connection.ts'
import { appErrorOf } from './connection/errors.ts'
import { createSubscribers } from './notifications/notifier.ts'
import { expireRuns, leave } from './ownership/recovery.ts'
import type { PostgresOptions } from './parts.ts'
import { type Service, startService } from './service.ts'
import { claimDeliveries, releaseDeliveries, retryDelivery, endDeliveryTry } from './statements/deliveries.ts'
import { defer, findKey, forgetKeys } from './statements/idempotency-keys.ts'
import { listRuns } from './statements/lists.ts'
import { countAhead, type DueRequest, readExpired } from './statements/queue.ts'
import { readInput, readJob, readRun, readSteps, shownWhole } from './statements/read.ts'
import { changeSchedule, readDueSchedules, readSchedule, readSchedules } from './statements/schedules.ts'
import {
  insertLines,
  insertMinutes,
  pruneLines,
  pruneMinutes,
  readChunks,
  readMinutes,
} from './statements/task-history.ts'
import { readStats } from './statements/totals.ts'
import { claimDue, type Claimed, claimSuspect } from './writing/claim.ts'
import { type Operation, operations, pruneRuns } from './writing/operations.ts'

/** Replies passed on in one turn of the event loop: each causes up to 0.1 ms of work. */
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

  /** A verb whose operation the writer runs in a group. The verb's type is that of the operation's reply. */
  const inGroup =
    <Args extends unknown[]>(writer: 'intake' | 'settling', operation: (...args: Args) => Operation) =>
    async <Value>(...args: Args): Promise<Value> =>
      (await opened()[writer].submit(operation(...args))) as Value

  type Work<Value> = (query: Query, parts: Service) => Promise<Value>

  /** A verb outside of groups. @throws AppError */
  async function outside<Value>(verb: string, work: Work<Value>): Promise<Value> {
    const parts = opened()
    try {
      return await work(parts.reader.query, parts)
    } catch (error) {
      throw appErrorOf(error, verb)
    }
  }

  /** As `outside`, after every earlier operation. */
  const afterAll = <Value>(verb: string, work: Work<Value>): Promise<Value> =>
    outside(verb, async (query, parts) => {
      await Promise.all([parts.intake.earlierReplies(), parts.settling.earlierReplies()])
      return work(query, parts)
    })

  /** As `outside`, after earlier operations on the run. */
  const afterRun = <Value>(verb: string, runId: string, work: Work<Value>): Promise<Value> =>
    outside(verb, async (query, parts) => {
      await Promise.all([parts.settling.latestWrite(runId), parts.intake.latestWrite(runId)])
      return work(query, parts)
    })

  /**
   * Repeats the work if it returns `missing`: the run may be a request in the inbox. Also if the inbox does not have the
   * request: a process may have accepted the run between the work and the look into the inbox.
   */
  async function onceTakenUp<Value>(runId: string, missing: Value, work: () => Promise<Value>): Promise<Value> {
    const value = await work()
    if (value !== missing) return value
    await opened().inbox.awaitTakeUp(runId)
    return work()
  }

  /** @throws AppError */
  async function claim(request: ClaimRequest): Promise<ClaimResult> {
    const parts = opened()
    const { quarantine, intake, rateLimits } = parts
    const claimOneSuspect = async (): Promise<ClaimResult> => {
      const { jobs, nextDueAt } = (await intake.submitAlone(claimSuspect(request, parts))) as Claimed
      return { jobs, nextDueAt }
    }
    if (request.only === 'suspects') return claimOneSuspect()
    const claimable = quarantine.claimable()
    // A suspect runs alone. The dispatcher is woken when it ends, and by each round of maintenance.
    if (claimable === 'none') return { jobs: [], nextDueAt: null }
    if (claimable === 'suspect') {
      const claimed = await claimOneSuspect()
      if (claimed.jobs.length > 0) return claimed
      quarantine.noteSuspects(false)
    }
    const claimed = await claimInRounds({ ...request, mayHaveLostStart: claimable !== 'no-lost-start' })
    if (request.rates === undefined) return claimed
    return { ...claimed, ratedUntil: rateLimits.until(request, options.clock.now()) }
  }

  /** Claims again while jobs beyond a limit have taken the places of others. */
  async function claimInRounds(request: DueRequest): Promise<ClaimResult> {
    const parts = opened()
    const { jobs, nextDueAt, rest } = (await parts.intake.submit(claimDue(request, parts))) as Claimed
    if (rest === null) return { jobs, nextDueAt }
    // The claimed jobs are returned even if the next round fails: a later claim covers the rest.
    const more = await claimInRounds(rest).catch(() => ({ jobs: [], nextDueAt: null }))
    return { jobs: [...jobs, ...more.jobs], nextDueAt: earliest(nextDueAt, more.nextDueAt) }
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
    backlog: () => service?.backlog.jobs() ?? 0,
    pausedTasks: () => service?.pausedTasks.all() ?? none,
    notifier: {
      onWork: subscribers.onWork,
      onGap: subscribers.onGap,
      onTakeover: subscribers.onTakeover,
      publishProgress: async (progress) => service?.publishProgress(progress),
      watchedSince: (at) => outside('watchedSince', (_query, of) => of.watchedSince(at)),
      remoteProgress: (...of) => service?.remoteProgress.of(...of) ?? null,
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
    // A request in the inbox can be cancelled, but has nothing to retry or to remove yet.
    cancel: (runId, ...of) =>
      outside('cancel', () => onceTakenUp<CancelResult>(runId, 'not-found', () => cancel(runId, ...of))),
    expire: (at) =>
      outside('expire', async (query, { settling, decoder }) => {
        const ids = await readExpired(query, at, decoder)
        return ids.length === 0 ? 0 : ((await settling.submitAlone(expireRuns(ids, decoder, at))) as number)
      }),
    leave: (at) =>
      afterAll('leave', async (_, { intake, processId, decoder }) => {
        return (await intake.submitAlone(leave(processId, decoder, at))) as number
      }),
    rescue: async (at) => opened().takeOver(at),
    prune: (finishedBefore, limit, at) =>
      outside('prune', async (query, { settling, decoder }) => {
        const runs = (await settling.submitAlone(pruneRuns(finishedBefore, limit, decoder))) as number
        return runs + (await forgetKeys(query, limit, at))
      }),
    // Not for a shared store: a step of one process's clock must not move the jobs of others.
    shiftDueTimes: () => Promise.resolve(),
    checkWritable: async () => opened().probe(),

    getRun: (id) =>
      outside('getRun', async (query, { intake, settling }) => {
        // If a write is under way, the run is shown as that write leaves it, without a read.
        const written = await Promise.all([settling.latestWrite(id), intake.latestWrite(id)])
        const stored = written.reduce((one, other) => ((other?.revision ?? 0) > (one?.revision ?? 0) ? other : one))
        const shown = stored ? shownWhole(stored.run) : null
        return shown ?? onceTakenUp(id, null, () => readRun(query, id))
      }),
    getJob: (runId, jobIndex) =>
      afterRun('getJob', runId, (query) => onceTakenUp(runId, null, () => readJob(query, runId, jobIndex))),
    getInput: (runId, jobIndex) =>
      afterRun('getInput', runId, (query) => onceTakenUp(runId, null, () => readInput(query, runId, jobIndex))),
    countAhead: (...of) => afterAll('countAhead', (query) => countAhead(query, tasks, ...of)),
    listRuns: (filter) => afterAll('listRuns', (_, { reader, decoder }) => listRuns(reader, decoder, filter)),
    stats: (at) => afterAll('stats', (query) => readStats(query, at)),
    stepsOf: (...of) => outside('stepsOf', (query) => readSteps(query, ...of)),

    findKey: (...of) => afterAll('findKey', (query) => findKey(query, ...of)),
    defer: (runId) => afterAll('defer', (query) => defer(query, runId)),
    setPaused: (task, isPaused) =>
      outside('setPaused', async (_, { pausedTasks, intake, wakeForWork }) => {
        await pausedTasks.set(task, isPaused)
        // A claim that is under way may have read the table before the change.
        await intake.earlierReplies()
        wakeForWork()
      }),
    keepLines: (...of) => outside('keepLines', (query) => insertLines(query, ...of)),
    pruneLines: (...of) => outside('pruneLines', (query) => pruneLines(query, ...of)),
    chunksOf: (...of) => outside('chunksOf', (query) => readChunks(query, ...of)),
    addMinutes: (rows) => outside('addMinutes', (query) => insertMinutes(query, rows)),
    pruneMinutes: (before) => outside('pruneMinutes', (query) => pruneMinutes(query, before)),
    minutesOf: (range) => outside('minutesOf', (query) => readMinutes(query, range)),
    claimDeliveries: (request) =>
      outside('claimDeliveries', (query, { processId }) => claimDeliveries(query, processId, request)),
    endDeliveryTry: (...of) =>
      outside('endDeliveryTry', (query, { processId }) => endDeliveryTry(query, processId, ...of)),
    retryDelivery: (...of) => afterAll('retryDelivery', (query) => retryDelivery(query, ...of)),
    releaseDeliveries: (kept) =>
      outside('releaseDeliveries', (query, { processId, deadHeartbeats }) => {
        return releaseDeliveries(query, processId, kept, deadHeartbeats(), options.clock.now())
      }),
    changeSchedule: async (...of) => (await opened().intake.submitAlone(changeSchedule(...of))) as ScheduleResult,
    getSchedule: (name) => afterAll('getSchedule', (query) => readSchedule(query, name)),
    listSchedules: () => afterAll('listSchedules', (query) => readSchedules(query)),
    dueSchedules: (at) => afterAll('dueSchedules', (query) => readDueSchedules(query, at)),
  }
}
