/**
 * Starts and stops the engine: two connections that write in groups, a few that read, one that receives notifications of
 * other processes, and a thread that keeps the lease.
 */
import type { JobProgress } from '../../domain/claim.ts'
import { AppError, BootError } from '../../domain/errors.ts'
import type { TurnScheduler } from '../../runtime/event-loop.ts'
import { createMaintenance } from './maintenance.ts'
import { decodeNotification, type Notification } from './notifications/codec.ts'
import { createListener, type Subscribers } from './notifications/notifier.ts'
import { createLease } from './ownership/lease.ts'
import { createParts, type Parts, type PostgresOptions } from './parts.ts'
import { inboxNotification } from './statements/inbox.ts'
import { createTickWatch } from './statements/schedules.ts'
import { writerName } from './statements/totals.ts'
import { type BatchWriter, createBatchWriter } from './writing/batch-writer.ts'
import { type CommitEffects, createCommitEffects, writers } from './writing/commit-effects.ts'

/** Handles the notifications of other processes. */
function createReceiver(parts: Parts, intake: BatchWriter, { wakeForWork }: CommitEffects) {
  const { processId, subscribers, owned, cache, backlog, pausedTasks, processes, remoteProgress } = parts

  async function onCommit(notice: Notification & { readonly type: 'commit' }): Promise<void> {
    const { from, writer, share, changes, voided, hasWork } = notice
    backlog.setShare(writerName(from, writer), share)
    for (const { runId, version } of changes) cache.noteVersion(runId, version)
    // The reply to a claim under way must arrive before the claim can be marked void.
    if (voided.length > 0) await intake.earlierReplies()
    // Claims that this process does not have are left out: an attempt under a newer claim of the job goes on.
    const marked = voided.filter((claim) => owned.markVoid(claim))
    const ended = Map.groupBy(marked, ({ runId }) => runId)
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

  return {
    refreshPauses,
    async onMessage(text: string): Promise<void> {
      if (text === inboxNotification) return subscribers.requests()
      const notice = decodeNotification(text, processId)
      if (notice === null) return
      switch (notice.type) {
        case 'commit':
          return onCommit(notice)
        case 'pauses':
          return refreshPauses()
        case 'hello':
          return processes.noteGreeting()
        case 'progress':
          return remoteProgress.receive(notice.progress)
      }
    },
  }
}

/** The parts that the verbs use. */
export type Service = Awaited<ReturnType<typeof startService>>

/** @throws BootError */
export async function startService(options: PostgresOptions, subscribers: Subscribers, turns: TurnScheduler) {
  const parts = await createParts(options, subscribers)
  const { database, timing, processId, tasks, reader, query, pausedTasks, readiness, search, log } = parts
  const { onCommit = () => {}, onLost, stall = null } = options
  const effects = createCommitEffects(parts)
  const batchWriter = (writer: number): BatchWriter =>
    createBatchWriter({ ...parts, writer, effects, onGroup: onCommit, runInTurn: turns.run })
  /** Accepts runs and claims jobs. */
  const intake = batchWriter(writers.intake)
  /** Settles, cancels, retries and removes. */
  const settling = batchWriter(writers.settling)
  const lease = createLease({ ...database, processId, tasks, stall, onLost })
  const maintenance = createMaintenance({ ...parts, intake, settling, lease, effects })
  const receiver = createReceiver(parts, intake, effects)
  const onMessage = (text: string): void => void receiver.onMessage(text)
  const listener = createListener({ ...parts, onMessage, onGap })
  let greeting: NodeJS.Timeout | undefined

  function onGap(): void {
    subscribers.gap()
    subscribers.requests()
    void receiver.refreshPauses()
    maintenance
      .compareOwned()
      .catch((error: unknown) => log.debug({ err: error }, 'the own claims could not be compared'))
  }

  async function stop(): Promise<void> {
    clearTimeout(greeting)
    await maintenance.stop()
    await Promise.all([intake.earlierReplies(), settling.earlierReplies()])
    await search.stop()
    await Promise.all([intake.close(), settling.close(), listener.stop(), lease.stop()])
    // Without its row the process counts as dead: others take over at once the jobs that it could not hand back.
    await query({ text: 'DELETE FROM process WHERE id = $1' }, [processId]).catch(() => {})
    await reader.end()
  }

  try {
    await Promise.all([listener.start(), lease.start(), parts.backlog.refresh(query), pausedTasks.refresh()])
    await parts.notifyOthers({ type: 'hello', from: processId })
  } catch (error) {
    await stop()
    throw new BootError('the database stopped answering', error)
  }
  maintenance.start()
  search.start()
  // A commit that was under way when the greeting arrived has not notified this process. It ends within the limit of a query.
  greeting = setTimeout(subscribers.gap, timing.queryMs)
  return {
    ...parts,
    intake,
    settling,
    emptyQueues: effects.emptyQueues,
    wakeForWork: effects.wakeForWork,
    deadHeartbeats: maintenance.deadHeartbeats,
    takeOver: maintenance.takeOver,
    lostClaims: maintenance.lostClaims,
    /** @throws AppError `store-unavailable` where nothing can be committed */
    async probe(): Promise<void> {
      if (lease.keptForMs() === 0) throw new AppError('store-unavailable', 'the lease could not be renewed')
      await readiness.probe([intake.submitAlone, settling.submitAlone])
    },
    // A lost message does no harm: progress is published again and again.
    publishProgress: (progress: readonly JobProgress[]): Promise<void> =>
      parts.notifyOthers({ type: 'progress', from: processId, progress }).catch(() => {}),
    watchedSince: createTickWatch(query, processId, timing),
    stop,
  }
}
