/**
 * The parts of the engine: two connections that write in groups, a few that read, one that hears of the others'
 * commits, and a thread that keeps the right to the claimed jobs.
 */
import type { Claim, JobProgress, Progress } from '../../domain/claim.ts'
import { AppError, BootError } from '../../domain/errors.ts'
import type { Log } from '../../log.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { TurnScheduler } from '../../runtime/event-loop.ts'
import type { StallOptions } from '../../runtime/stall-watch.ts'
import type { Notifier, RescueReport } from '../store.ts'
import { prepareDatabase } from './connection/boot.ts'
import {
  createConnect,
  createReader,
  defaultLimits,
  type Limits,
  loadPg,
  type Reader,
} from './connection/connection.ts'
import { countSuspects, createMaintenance } from './maintenance.ts'
import { decodeNotification, encodeNotification, notify } from './notifications/codec.ts'
import { createListener, createRemoteProgress, createWorkNotifier, type Subscribers } from './notifications/notifier.ts'
import { createHeartbeats, createLease } from './ownership/lease.ts'
import { createTickWatch } from './ownership/tick-watch.ts'
import { createOwnedClaims, createQuarantine, type Quarantine } from './ownership/owned-claims.ts'
import { boundWaits, reclaim, rescue } from './ownership/recovery.ts'
import { createSearchIndex } from './search/index-writer.ts'
import { boundDeliveries } from './statements/deliveries.ts'
import { createInbox, inboxNotification, type PostgresInbox } from './statements/inbox.ts'
import { readRun } from './statements/read.ts'
import { createReadable, createRecordCache, type Readable } from './statements/records.ts'
import { createPausedTasks, type PausedTasks } from './statements/tasks.ts'
import { createBacklog, writerName } from './statements/totals.ts'
import { type BatchWriter, createBatchWriter } from './writing/batch-writer.ts'
import type { ClaimOptions } from './writing/claim.ts'
import { createCommitEffects, createEmptyQueueCache, createReadiness, writers } from './writing/commit-effects.ts'
import { createRateLimits } from './writing/rate-limits.ts'

export interface PostgresOptions {
  /** `postgres://…` */
  readonly url: string
  /** Where its tables are: several services can share one database. */
  readonly schema: string
  /** How long to wait at the start for a server that does not answer, in milliseconds. */
  readonly connectWaitMs: number
  readonly limits?: Partial<Limits>
  /** Tasks that run here: no job of another one is claimed. Default: any. */
  readonly tasks?: readonly string[]
  readonly clock: Clock
  readonly log: Log
  /** Whether runs can be found by their words; the index is built some time after the commits. Default: no. */
  readonly hasSearch?: boolean
  /** Ends the process when the main thread stands still; default: nobody watches. */
  readonly stall?: StallOptions
  /** Called with each group that has ended: how many verbs it held, and how long it took, in milliseconds. */
  readonly onCommit?: (verbs: number, tookMs: number) => void
  /** Called when the lease cannot be kept any more: jobs that run here are soon taken by others. */
  readonly onLost: (error: Error) => void
}

/** What the verbs are made of. */
export interface Service {
  /** Number of this process. */
  readonly process: number
  /** Accepts runs and claims jobs. */
  readonly intake: BatchWriter
  /** Settles, cancels, retries and removes. */
  readonly settling: BatchWriter
  readonly reader: Reader
  readonly readable: Readable
  readonly inbox: PostgresInbox
  readonly pausedTasks: PausedTasks
  readonly quarantine: Quarantine
  readonly claiming: ClaimOptions
  backlog(): number
  /** There may be jobs to claim. */
  wakeForWork(): void
  /** Heartbeats of processes that are given up. */
  silentProcesses(): string[]
  takeOver(at: number): Promise<RescueReport>
  /** @throws AppError `store-unavailable` where nothing can be committed */
  probe(): Promise<void>
  publishProgress(progress: readonly JobProgress[]): Promise<void>
  readonly watchedSince: Notifier['watchedSince']
  remoteProgress(runId: string, jobIndex: number): Progress | null
  /** Claims of this process that ended without a notification, since it started. */
  lostClaims(): number
  stop(): Promise<void>
}

/** Reported for a run that was removed: subscribers read it, and find that it is gone. */
const forgotten = { version: 0, state: 'running', answer: null } as const

/** @throws BootError */
export async function startService(
  options: PostgresOptions,
  subscribers: Subscribers,
  turns: TurnScheduler,
): Promise<Service> {
  const { url, schema, tasks = null, hasSearch = false, clock, log, onLost } = options
  const limits = { ...defaultLimits, ...options.limits }
  const { leaseMs } = limits
  const channel = `forerunner ${schema}`
  const pg = await loadPg()
  const database = { url, schema, limits }
  const connect = createConnect(pg, database)
  const startedAt = clock.now()
  const registration = { tasks, hasSearch, at: startedAt, waitMs: options.connectWaitMs }
  const process = await prepareDatabase(connect, database, registration)

  const reader = createReader(pg, database)
  const inbox = createInbox(reader, subscribers.requests)
  const heartbeats = createHeartbeats()
  const sendNotifications = async (messages: readonly string[]): Promise<void> => {
    if (heartbeats.hasOthers()) await reader.query(notify, [channel, messages])
  }
  const backlog = createBacklog()
  const cache = createRecordCache()
  const emptyQueues = createEmptyQueueCache()
  const owned = createOwnedClaims()
  const readable = createReadable(log)
  const pausedTasks = createPausedTasks(
    reader.query,
    channel,
    encodeNotification({ type: 'pauses', from: process }).join(''),
  )
  const quarantine = createQuarantine(owned, limits.aloneMs)
  const readiness = createReadiness(process, limits)
  const remoteProgress = createRemoteProgress()
  const workNotifier = createWorkNotifier(process, writers.intake, sendNotifications)
  const search = createSearchIndex({ process, startedAt, hasSearch, query: reader.query, readable, clock, log })
  const known = { backlog, cache, emptyQueues, owned }
  const effects = createCommitEffects({ process, ...known, readiness, search, subscribers, workNotifier })
  const { wakeForWork } = effects
  const batchWriter = (writer: number) =>
    createBatchWriter({
      process,
      writer,
      channel,
      limits,
      connect,
      cache,
      pausedTasks,
      hasOthers: heartbeats.hasOthers,
      effects,
      onGroup: (...group) => options.onCommit?.(...group),
      defer: turns.run,
    })
  const intake = batchWriter(writers.intake)
  const settling = batchWriter(writers.settling)
  const lease = createLease({ ...database, owner: process, tasks, stall: options.stall ?? null, onLost })
  let lostClaims = 0
  let greeting: NodeJS.Timeout | undefined

  async function hear(text: string): Promise<void> {
    if (text === inboxNotification) return subscribers.requests()
    const notice = decodeNotification(text, process)
    if (notice === null) return
    if (notice.type === 'hello') return heartbeats.meet()
    if (notice.type === 'pauses') return lookAtPauses()
    if (notice.type === 'progress') return remoteProgress.hear(notice.progress)
    const { from, writer, live, changes, voided, hasWork } = notice
    backlog.hear(writerName(from, writer), live)
    for (const { runId, version } of changes) cache.hear(runId, version)
    // A claim under way must be known here before it can be stopped.
    if (voided.length > 0) await intake.settled()
    // An attempt under a newer claim of the job goes on.
    const ended = Map.groupBy(voided.filter(owned.void), ({ runId }) => runId)
    subscribers.change(
      changes.map((change) => {
        return { ...change, voided: ended.get(change.runId) ?? [] }
      }),
    )
    if (hasWork) wakeForWork()
  }

  /** A task that is not paused any more can have jobs to claim. */
  async function lookAtPauses(): Promise<void> {
    // Where it fails, the look of each second finds out.
    await pausedTasks.refresh().catch(() => {})
    wakeForWork()
  }

  /** After an outage all leases look dead: every process gets the time to renew its own, as this one did. */
  const silentProcesses = (): string[] => (lease.keptForMs() >= leaseMs ? heartbeats.unchangedFor(leaseMs) : [])

  async function takeOver(at: number): Promise<RescueReport> {
    const silent = silentProcesses()
    const report = (await settling.askAlone(rescue(process, readable, silent, at))) as Omit<RescueReport, 'suspects'>
    await boundDeliveries(reader.query, at)
    const suspects = await countSuspects(reader.query)
    quarantine.look(suspects > 0)
    return { ...report, suspects }
  }

  /** Compares the claims in the database with the attempts here: a job that nobody runs is handed back, and an attempt without a claim ends. */
  async function compareOwned(): Promise<void> {
    effects.clearOrphans()
    // After every claim under way: it is not known yet which jobs those take.
    const missing = (await intake.askAlone(reclaim(process, readable, owned, clock.now()))) as readonly Claim[]
    // A settled job has no owner either. Here that is known once its outcome has a reply.
    await settling.settled()
    for (const claim of missing) {
      const { runId } = claim
      // Read before the claim is marked void: if the read fails, the next comparison finds the claim again.
      const { version, state, answer } = (await readRun(reader.query, runId)) ?? forgotten
      if (!owned.void(claim)) continue
      lostClaims += 1
      subscribers.change([{ runId, version, state, isAnswered: answer !== null, voided: [claim] }])
    }
  }

  function onGap(): void {
    subscribers.gap()
    subscribers.requests()
    void lookAtPauses()
    compareOwned().catch((error: unknown) => log.debug({ err: error }, 'the own jobs could not be looked through'))
  }

  const listener = createListener({ connect, channel, onMessage: (text) => void hear(text), onGap })
  const maintenance = createMaintenance({
    limits,
    process,
    tasks,
    query: reader.query,
    backlog,
    pausedTasks,
    lease,
    log,
    rescue: () => takeOver(clock.now()),
    heartbeats,
    boundWaits: async (runIds, at) => void (await settling.askAlone(boundWaits(runIds, readable, at))),
    reclaim: compareOwned,
    hasOrphans: effects.hasOrphans,
    onSuspects: quarantine.look,
    onTakeover: subscribers.takeover,
    onRound: wakeForWork,
    lookAtInbox: inbox.look,
    clock,
  })

  async function stop(): Promise<void> {
    clearTimeout(greeting)
    await maintenance.stop()
    await Promise.all([intake.settled(), settling.settled()])
    await search.stop()
    await Promise.all([intake.close(), settling.close(), listener.stop(), lease.stop()])
    // Other processes can claim at once what this one could not hand back.
    await reader.query({ text: 'DELETE FROM process WHERE id = $1' }, [process]).catch(() => {})
    await reader.end()
  }

  try {
    await Promise.all([listener.start(), lease.start(), backlog.refresh(reader.query), pausedTasks.refresh()])
    await sendNotifications(encodeNotification({ type: 'hello', from: process }))
  } catch (error) {
    await stop()
    throw new BootError('the database stopped answering', error)
  }
  maintenance.start()
  search.start()
  // Other processes sent no notifications for commits before they knew of this process.
  greeting = setTimeout(subscribers.gap, limits.queryMs)
  return {
    process,
    intake,
    settling,
    reader,
    readable,
    inbox,
    pausedTasks,
    quarantine,
    claiming: { tasks, pausedTasks, rateLimits: createRateLimits(schema), emptyQueues, readable, clock },
    backlog: backlog.jobs,
    wakeForWork,
    silentProcesses,
    takeOver,
    async probe() {
      // The lease is renewed every few seconds.
      if (lease.keptForMs() === 0) throw new AppError('store-unavailable', 'the lease could not be renewed')
      await readiness.probe([intake.askAlone, settling.askAlone])
    },
    // Progress is published again, so a lost message does no harm.
    publishProgress: async (progress) =>
      sendNotifications(encodeNotification({ type: 'progress', from: process, progress })).catch(() => {}),
    watchedSince: createTickWatch(reader.query, process, limits),
    remoteProgress: remoteProgress.of,
    lostClaims: () => lostClaims,
    stop,
  }
}
