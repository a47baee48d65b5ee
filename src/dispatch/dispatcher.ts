/**
 * Claims jobs when there are free slots and has each claimed job executed and settled. It owns the slots: nothing is
 * claimed that could not start at once or behind quick jobs, and one claim is under way at a time.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Claim,
  type ClaimedJob,
  jobKey,
  type JobProgress,
  type Progress,
  type StepKeeper,
} from '../domain/claim.ts'
import type { WhyWaiting } from '../domain/job.ts'
import type { Clock } from '../runtime/clock.ts'
import { taskKinds } from '../domain/task.ts'
import { createExecutor, type Executor, notStarted } from '../execution/executor.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { Log } from '../log.ts'
import type { ClaimResult } from '../store/claim-requests.ts'
import type { Store } from '../store/store.ts'
import type { Registry } from '../tasks/registry.ts'
import { createExecute, type Execute, type ExecuteHooks, type ExecuteOptions, type Place } from './execute.ts'
import { createTaskLimits } from './task-limits.ts'

export interface Dispatcher {
  /** Jobs may have become claimable: claims them in the same commit as what was asked of the store in this turn. */
  wake(): void
  /**
   * Takes back the jobs of a dead process, and begins to claim: at once where nothing is suspect, else after the
   * suspects have run alone, so that one more death can be blamed on the right job. Resolves when the rescue is committed.
   */
  start(): Promise<void>
  /** Runs the first job of a run on the main thread, and settles it; never rejects. */
  runFirst(job: ClaimedJob, hooks: ExecuteHooks): Promise<void>
  /** Asks the attempt under this claim, if it runs here, to stop because its job was cancelled. */
  cancel(claim: Claim): void
  /** The progress that a job has reported; null before it has reported any, or when it does not run here. */
  progress(runId: string, jobIndex: number): Progress | null
  /** Why a job does not run yet, as far as this process knows. */
  readonly whyWaiting: WhyWaiting
  /** Of all jobs that run here and have reported any. */
  allProgress(): JobProgress[]
  /** The service was asked to leave: from now on that may be the cause of a failure, which is handed back. */
  excuseFailures(): void
  /**
   * Claims no more, and resolves when every running job has ended and is settled; after `graceMs` they are handed back.
   * False when the store did not take all outcomes in time.
   */
  drain(graceMs: number): Promise<boolean>
  /** Stops trying to commit outcomes. */
  stop(): void
}

export interface DispatcherOptions extends Pick<ExecuteOptions, 'onUncommitted' | 'onEnded'> {
  readonly store: Store
  readonly pool: Pool
  readonly mainThread: Executor
  readonly keeper: StepKeeper
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Log
  readonly cancelGraceMs: number
  readonly onStarted: (job: ClaimedJob) => void
  /** Jobs of a process that died were taken back: how many. */
  readonly onRecovered: (jobs: number) => void
  /** Wraps what executes a job; null: nothing does. */
  readonly traceExecute: ((execute: Execute) => Execute) | null
}

const claimRetryMs = 500
const maxTimerMs = 2_147_483_647
/** A process that dies of its job mostly does so soon; the others must not wait for a long one. */
const maxAloneMs = 30_000
/** How long beyond the graces, on leaving, a failed commit of an outcome is tried again. */
const commitAllowanceMs = 2_000

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { store, pool, mainThread, keeper, registry, clock, log, cancelGraceMs, onStarted, onRecovered, traceExecute } =
    options
  const inFlight = new Set<Promise<void>>()
  const taskLimits = createTaskLimits(options)
  /** Claims that were cancelled in the commit that gave them, and are not known here yet. */
  const cancelledEarly = new Set<string>()
  const stopping = new AbortController()
  let isLeaving = false
  let isOpen = false
  let isStopped = false
  let claiming: Promise<void> | null = null
  let wantsMore = false
  let dueTimer: NodeJS.Timeout | undefined
  let claimingSuspect: Promise<unknown> | null = null
  let suspectsDone = Promise.resolve()
  let capacity = Promise.withResolvers<void>()

  const untraced = createExecute({
    ...options,
    signal: stopping.signal,
    isLeaving: () => isLeaving,
    onWaiting: wake,
  })
  const execute = traceExecute?.(untraced) ?? untraced
  const threads = createExecutor((job) => {
    const task = registry.get(job.task)
    // The store claims no job of a task that is unknown here: another version runs it.
    return task === undefined || isStopped ? notStarted : pool.run(job, task, keeper)
  })

  const place: Place = async (job) => {
    const running = threads.run(job)
    if (cancelledEarly.has(claimKey(job))) threads.cancel(job)
    taskLimits.count(job.task, 1)
    const outcome = await running
    taskLimits.count(job.task, -1)
    // The claim of the next job goes into the commit that settles this one.
    wake()
    return outcome
  }

  function run(job: ClaimedJob, where: Place, hooks?: ExecuteHooks): Promise<void> {
    onStarted(job)
    const done = execute(job, where, hooks).finally(() => inFlight.delete(done))
    inFlight.add(done)
    return done
  }

  function wake(): void {
    wantsMore = true
    if (!isOpen || claiming !== null) return
    const request = taskLimits.request('all')
    if (request.slots.length === 0) return
    wantsMore = false
    claiming = store.claim(request).then(onClaimed, onClaimFailed)
  }

  function onClaimed({ jobs, nextDueAt, ratedUntil }: ClaimResult): void {
    claiming = null
    taskLimits.noteRates(ratedUntil)
    for (const job of jobs) void run(job, place)
    cancelledEarly.clear()
    if (!isOpen) return
    if (nextDueAt !== null) wakeAt(nextDueAt)
    if (wantsMore) wake()
  }

  function onClaimFailed(error: unknown): void {
    claiming = null
    log.error({ err: error }, 'jobs could not be claimed; trying again')
    if (isOpen) wakeAt(clock.now() + claimRetryMs)
  }

  function wakeAt(at: number): void {
    clearTimeout(dueTimer)
    // One timer suffices: every claim says what is due next.
    dueTimer = setTimeout(wake, Math.min(Math.max(0, at - clock.now()), maxTimerMs))
  }

  function onCapacity(): void {
    capacity.resolve()
    capacity = Promise.withResolvers()
    wake()
  }

  /** Runs the jobs that may have killed the process before, one at a time, and nothing else meanwhile. */
  async function runSuspects(): Promise<void> {
    while (!isStopped) {
      const request = taskLimits.request('suspects')
      const changed = capacity.promise
      const claimed = store.claim(request)
      claimingSuspect = claimed
      const [job] = (await claimed).jobs
      if (job !== undefined) {
        const { runId, jobIndex, task, lostStarts } = job
        log.warn({ runId, jobIndex, task, lostStarts }, 'a job that ran while the process died is tried again, alone')
        await run(job, place)
      } else if (taskKinds.every((kind) => request.slots.some((slot) => slot.kind === kind))) {
        return
      } else {
        // The last one may have cost its thread: others of its kind wait for a new one.
        await changed
      }
    }
  }

  function open(): void {
    if (isStopped) return
    isOpen = true
    wake()
  }

  async function close(): Promise<void> {
    isStopped = true
    isOpen = false
    clearTimeout(dueTimer)
    capacity.resolve()
    await Promise.allSettled([claiming, claimingSuspect])
  }

  /** A supervisor may kill the process before its graces are over: that must not cost its jobs a start. */
  async function markRunningJobs(): Promise<void> {
    try {
      const jobs = await store.leave(clock.now())
      if (jobs > 0) log.info({ jobs }, 'from now on the running jobs lose no start when the process is killed')
    } catch (error) {
      log.warn({ err: error }, 'the running jobs lose a start when the process is killed before it has stopped')
    }
  }

  pool.onCapacity(onCapacity)

  return {
    wake,
    async start() {
      const { requeued, crashed, suspects } = await store.rescue(clock.now())
      if (requeued + crashed > 0) log.warn({ requeued, crashed, suspects }, 'took back the jobs of a process that died')
      if (requeued + crashed > 0) onRecovered(requeued + crashed)
      if (suspects === 0) return open()
      suspectsDone = runSuspects().catch((error: unknown) =>
        log.error({ err: error }, 'the suspect jobs could not be claimed'),
      )
      void Promise.race([suspectsDone, sleep(maxAloneMs, undefined, { ref: false })]).then(open)
    },
    runFirst: (job, hooks) => run(job, mainThread.run, hooks),
    cancel(claim) {
      if (mainThread.cancel(claim) || threads.cancel(claim)) return
      // The claim may come from the same commit: its changes can arrive before its replies.
      if (claiming !== null || !isOpen) cancelledEarly.add(claimKey(claim))
    },
    progress: (...job) => mainThread.progress(...job) ?? threads.progress(...job),
    whyWaiting: taskLimits.whyWaiting,
    allProgress: () => [...mainThread.allProgress(), ...threads.allProgress()],
    excuseFailures() {
      isLeaving = true
    },
    async drain(graceMs) {
      const closed = close()
      // After the last claims, whose jobs are marked too. Not awaited: the jobs can end meanwhile.
      void closed.then(markRunningJobs)
      // A store that cannot commit must not hold up the leaving: what is not on disk then runs again.
      const giveUp = setTimeout(() => stopping.abort(), graceMs + cancelGraceMs + commitAllowanceMs)
      await Promise.all([closed, suspectsDone, mainThread.stop(graceMs), threads.stop(graceMs)])
      await Promise.all(inFlight)
      clearTimeout(giveUp)
      return !stopping.signal.aborted
    },
    stop: () => stopping.abort(),
  }
}

function claimKey(claim: Claim): string {
  return `${jobKey(claim)}/${claim.claim}`
}
