/**
 * The parts of the engine: two connections that write in groups, a few that read, one that receives notifications of other
 * processes, and a thread that keeps the lease.
 */
import type { JobProgress } from '../../domain/claim.ts'
import { AppError, BootError } from '../../domain/errors.ts'
import type { Log } from '../../log.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { TurnScheduler } from '../../runtime/event-loop.ts'
import type { StallOptions } from '../../runtime/stall-watch.ts'
import { prepareDatabase } from './connection/boot.ts'
import { createConnect, createReader, defaultTiming, type Timing, loadPg } from './connection/connection.ts'
import { createMaintenance } from './maintenance.ts'
import { decodeNotification, encodeNotification, notify } from './notifications/codec.ts'
import { createListener, createRemoteProgress, createWorkNotifier, type Subscribers } from './notifications/notifier.ts'
import { createHeartbeats, createLease } from './ownership/lease.ts'
import { createTickWatch } from './statements/schedules.ts'
import { createOwnedClaims, createQuarantine } from './ownership/owned-claims.ts'
import { createSearchIndex } from './search/index-writer.ts'
import { createInbox, inboxNotification } from './statements/inbox.ts'
import { createRecordDecoder, createRecordCache } from './statements/records.ts'
import { createPausedTasks, createRateLimits } from './statements/tasks.ts'
import { createBacklog, writerName } from './statements/totals.ts'
import { createBatchWriter } from './writing/batch-writer.ts'
import { createCommitEffects, createEmptyQueueCache, createReadiness, writers } from './writing/commit-effects.ts'

export interface PostgresOptions {
  /** `postgres://…` */
  readonly url: string
  /** Schema of the tables: several services can share one database. */
  readonly schema: string
  /** How long to wait at the start for a server that cannot be reached, in milliseconds. */
  readonly connectWaitMs: number
  readonly timing?: Partial<Timing>
  /** Tasks that run here; no other jobs are claimed. Default: any. */
  readonly tasks?: readonly string[]
  readonly clock: Clock
  readonly log: Log
  /** Whether runs can be found by their words. The index is updated some time after each commit. Default: no. */
  readonly hasSearch?: boolean
  /** Ends the process when the main thread is blocked. Default: the main thread is not watched. */
  readonly stall?: StallOptions
  /** Called after each group with its number of verbs and its duration in milliseconds. */
  readonly onCommit?: (verbs: number, tookMs: number) => void
  /** Called when the lease is lost: other processes soon take over the jobs that run here. */
  readonly onLost: (error: Error) => void
}

/** The parts that the verbs use. */
export type Service = Awaited<ReturnType<typeof startService>>

/** @throws BootError */
export async function startService(options: PostgresOptions, subscribers: Subscribers, turns: TurnScheduler) {
  const { url, schema, tasks = null, hasSearch = false, clock, log, onLost } = options
  const timing = { ...defaultTiming, ...options.timing }
  const channel = `forerunner ${schema}`
  const pg = await loadPg()
  const database = { url, schema, timing }
  const connect = createConnect(pg, database)
  const startedAt = clock.now()
  const registration = { tasks, hasSearch, at: startedAt, waitMs: options.connectWaitMs, clock, log }
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
  const decoder = createRecordDecoder(log)
  const pausedTasks = createPausedTasks(
    reader.query,
    channel,
    encodeNotification({ type: 'pauses', from: process }).join(''),
  )
  const quarantine = createQuarantine(owned, timing.aloneMs)
  const readiness = createReadiness(process, timing)
  const remoteProgress = createRemoteProgress()
  const workNotifier = createWorkNotifier(process, writers.intake, sendNotifications)
  const search = createSearchIndex({ process, startedAt, hasSearch, query: reader.query, decoder, clock, log })
  const known = { backlog, cache, emptyQueues, owned }
  const effects = createCommitEffects({ process, ...known, readiness, search, subscribers, workNotifier })
  const { wakeForWork } = effects
  const batchWriter = (writer: number) =>
    createBatchWriter({
      process,
      writer,
      channel,
      timing,
      connect,
      cache,
      pausedTasks,
      hasOthers: heartbeats.hasOthers,
      effects,
      onGroup: (...group) => options.onCommit?.(...group),
      defer: turns.run,
    })
  /** Accepts runs and claims jobs. */
  const intake = batchWriter(writers.intake)
  /** Settles, cancels, retries and removes. */
  const settling = batchWriter(writers.settling)
  const lease = createLease({ ...database, process, tasks, stall: options.stall ?? null, onLost })
  let greeting: NodeJS.Timeout | undefined

  async function onNotification(text: string): Promise<void> {
    if (text === inboxNotification) return subscribers.requests()
    const notice = decodeNotification(text, process)
    if (notice === null) return
    if (notice.type === 'hello') return heartbeats.noteGreeting()
    if (notice.type === 'pauses') return refreshPauses()
    if (notice.type === 'progress') return remoteProgress.receive(notice.progress)
    const { from, writer, live, changes, voided, hasWork } = notice
    backlog.setShare(writerName(from, writer), live)
    for (const { runId, version } of changes) cache.noteVersion(runId, version)
    // The reply to a claim under way must arrive before the claim can be marked void.
    if (voided.length > 0) await intake.earlierReplies()
    // Claims that this process does not have are left out: an attempt under a newer claim of the job goes on.
    const ended = Map.groupBy(voided.filter(owned.void), ({ runId }) => runId)
    subscribers.change(
      changes.map((change) => {
        return { ...change, voided: ended.get(change.runId) ?? [] }
      }),
    )
    if (hasWork) wakeForWork()
  }

  /** A resumed task can have jobs to claim. */
  async function refreshPauses(): Promise<void> {
    // After a failure, the next round of maintenance reads the table.
    await pausedTasks.refresh().catch(() => {})
    wakeForWork()
  }

  const maintenance = createMaintenance({
    process,
    tasks,
    timing,
    query: reader.query,
    intake,
    settling,
    lease,
    heartbeats,
    owned,
    quarantine,
    effects,
    subscribers,
    inbox,
    backlog,
    pausedTasks,
    decoder,
    clock,
    log,
  })

  function onGap(): void {
    subscribers.gap()
    subscribers.requests()
    void refreshPauses()
    maintenance
      .compareOwned()
      .catch((error: unknown) => log.debug({ err: error }, 'the own claims could not be compared'))
  }

  const listener = createListener({ connect, channel, onMessage: (text) => void onNotification(text), onGap })

  async function stop(): Promise<void> {
    clearTimeout(greeting)
    await maintenance.stop()
    await Promise.all([intake.earlierReplies(), settling.earlierReplies()])
    await search.stop()
    await Promise.all([intake.close(), settling.close(), listener.stop(), lease.stop()])
    // Without its row the process counts as dead: others take over at once the jobs that it could not hand back.
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
  // A commit that started before the greeting arrived has not notified this process. By then all such commits have ended.
  greeting = setTimeout(subscribers.gap, timing.queryMs)
  return {
    process,
    intake,
    settling,
    reader,
    decoder,
    inbox,
    pausedTasks,
    quarantine,
    claiming: { tasks, pausedTasks, rateLimits: createRateLimits(), emptyQueues, decoder, clock },
    backlog: backlog.jobs,
    wakeForWork,
    silentProcesses: maintenance.silentProcesses,
    takeOver: maintenance.takeOver,
    lostClaims: maintenance.lostClaims,
    /** @throws AppError `store-unavailable` where nothing can be committed */
    async probe(): Promise<void> {
      if (lease.keptForMs() === 0) throw new AppError('store-unavailable', 'the lease could not be renewed')
      await readiness.probe([intake.submitAlone, settling.submitAlone])
    },
    // A lost message does no harm: progress is published again and again.
    publishProgress: (progress: readonly JobProgress[]): Promise<void> =>
      sendNotifications(encodeNotification({ type: 'progress', from: process, progress })).catch(() => {}),
    watchedSince: createTickWatch(reader.query, process, timing),
    remoteProgress: remoteProgress.of,
    stop,
  }
}
