/**
 * Claims jobs for free slots, executes them and settles them. One claim is under way at a time. It takes only jobs that can
 * start at once or, on a thread whose jobs are quick, after those.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Claim,
  type ClaimedJob,
  jobKey,
  type JobProgress,
  type Progress,
  type RunAttempt,
  type StepKeeper,
} from '../domain/claim.ts'
import type { WhyWaiting } from '../domain/job.ts'
import type { Clock } from '../runtime/clock.ts'
import { createExecutor, type Executor, notStarted } from '../execution/executor.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { Log } from '../log.ts'
import type { ClaimResult } from '../store/claim-requests.ts'
import type { Store } from '../store/store.ts'
import type { Registry } from '../tasks/registry.ts'
import { createExecute, type Execute, type ExecuteHooks, type ExecuteOptions } from './execute.ts'
import { createSuspects } from './suspects.ts'
import { createTaskLimits } from './task-limits.ts'

export interface Dispatcher {
  /** Jobs may be claimable: claims them, now or after the claim under way. Verbs of the same turn share the claim's commit. */
  wake(): void
  /**
   * Takes back the jobs of a dead process, and then claims. Suspects run first and alone, so that a further death is
   * blamed on the right job. Resolves when the rescue is committed.
   */
  start(): Promise<void>
  /** Runs the first job of a run on the main thread, and settles it; never rejects. */
  runFirst(job: ClaimedJob, hooks: ExecuteHooks): Promise<void>
  /** Stops the attempt under this claim, if it runs here, because its job was cancelled. */
  cancel(claim: Claim): void
  /** The progress that a job has reported; null: none, or the job does not run here. */
  progress(runId: string, jobIndex: number): Progress | null
  readonly whyWaiting: WhyWaiting
  /** Progress of all jobs that run here and have reported any. */
  allProgress(): JobProgress[]
  /** From now on a job that fails is handed back: the signal that stops the service may have caused the failure. */
  excuseFailures(): void
  /**
   * Stops claiming, and resolves when every running job has ended and is settled; after `graceMs` jobs are handed back.
   * Resolves to false when some outcomes could not be committed in time.
   */
  drain(graceMs: number): Promise<boolean>
  /** Outcomes that are not committed yet are not tried again. */
  giveUpCommits(): void
}

interface DispatcherOptions extends Pick<ExecuteOptions, 'onUncommitted' | 'onEnded'> {
  readonly store: Store
  readonly pool: Pool
  readonly mainThread: Executor
  readonly keeper: StepKeeper
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Log
  readonly cancelGraceMs: number
  readonly onStarted: (job: ClaimedJob) => void
  /** Called with the number of jobs that were taken back from a dead process. */
  readonly onRecovered: (jobs: number) => void
  /** Adds tracing to the execution of jobs; null: no tracing. */
  readonly traceExecute: ((execute: Execute) => Execute) | null
}

const claimRetryMs = 500
const maxTimerMs = 2_147_483_647
/** A job that kills its process mostly does so soon, and other jobs must not wait for a long suspect. */
const maxAloneMs = 30_000
/** How long after both graces commits of outcomes are still tried. */
const commitAllowanceMs = 2_000

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { store, pool, mainThread, keeper, registry, clock, log, cancelGraceMs, onStarted, onRecovered, traceExecute } =
    options
  const inFlight = new Set<Promise<void>>()
  const taskLimits = createTaskLimits(options)
  /** Claims that were cancelled before the reply that gives them to this process has arrived. */
  const cancelledEarly = new Set<string>()
  /** Aborted when outcomes are no longer committed. */
  const givingUp = new AbortController()
  /** `starting`: only suspects are claimed. `draining`: nothing is claimed, and no claimed job is started in the pool. */
  let phase: 'starting' | 'open' | 'draining' = 'starting'
  let excusesFailures = false
  let claiming: Promise<void> | null = null
  let wantsMore = false
  let dueTimer: NodeJS.Timeout | undefined

  const untraced = createExecute({
    ...options,
    signal: givingUp.signal,
    isLeaving: () => excusesFailures,
    onWaiting: wake,
  })
  const execute = traceExecute?.(untraced) ?? untraced
  const threads = createExecutor((job) => {
    const task = registry.get(job.task)
    // The store claims no job whose task this process does not have: another version of the service runs it.
    return task === undefined || phase === 'draining' ? notStarted : pool.run(job, task, keeper)
  })

  const runInPool: RunAttempt = async (job) => {
    const running = threads.run(job)
    if (cancelledEarly.has(claimKey(job))) threads.cancel(job)
    taskLimits.noteStart(job.task)
    const outcome = await running
    taskLimits.noteEnd(job.task)
    // The claim of the next job goes into the commit that settles this one.
    wake()
    return outcome
  }

  function run(job: ClaimedJob, runAttempt: RunAttempt, hooks?: ExecuteHooks): Promise<void> {
    onStarted(job)
    const done = execute(job, runAttempt, hooks).finally(() => inFlight.delete(done))
    inFlight.add(done)
    return done
  }

  function wake(): void {
    wantsMore = true
    if (phase !== 'open' || claiming !== null) return
    const request = taskLimits.request('all')
    if (request.slots.length === 0) return
    wantsMore = false
    claiming = store.claim(request).then(onClaimed, onClaimFailed)
  }

  function onClaimed({ jobs, nextDueAt, ratedUntil }: ClaimResult): void {
    claiming = null
    taskLimits.noteRates(ratedUntil)
    for (const job of jobs) void run(job, runInPool)
    // Each of these jobs was looked up: `execute` calls `runInPool` before it returns, traced or not.
    if (!suspects.isClaiming()) cancelledEarly.clear()
    if (phase !== 'open') return
    if (nextDueAt !== null) wakeAt(nextDueAt)
    if (wantsMore) wake()
  }

  function onClaimFailed(error: unknown): void {
    claiming = null
    log.error({ err: error }, 'jobs could not be claimed; trying again')
    if (phase === 'open') wakeAt(clock.now() + claimRetryMs)
  }

  /** One timer is enough: each claim reports when the next job is due. */
  function wakeAt(at: number): void {
    clearTimeout(dueTimer)
    dueTimer = setTimeout(wake, Math.min(Math.max(0, at - clock.now()), maxTimerMs))
  }

  function open(): void {
    if (phase === 'draining') return
    phase = 'open'
    wake()
  }

  async function stopClaiming(): Promise<void> {
    phase = 'draining'
    clearTimeout(dueTimer)
    await Promise.allSettled([claiming, suspects.stopClaiming()])
  }

  /** A supervisor may kill the process before its graces are over, which must not cost its jobs a start. */
  async function markRunningJobs(): Promise<void> {
    try {
      const jobs = await store.leave(clock.now())
      if (jobs > 0) log.info({ jobs }, 'from now on the running jobs lose no start when the process is killed')
    } catch (error) {
      log.warn({ err: error }, 'the running jobs lose a start when the process is killed before it has stopped')
    }
  }

  const suspects = createSuspects({ store, taskLimits, run: (job) => run(job, runInPool), log })
  pool.onCapacity(() => {
    suspects.onCapacity()
    wake()
  })

  return {
    wake,
    async start() {
      const { requeued, crashed, suspects: suspectCount } = await store.rescue(clock.now())
      if (requeued + crashed > 0) {
        log.warn({ requeued, crashed, suspects: suspectCount }, 'took back the jobs of a process that died')
        onRecovered(requeued + crashed)
      }
      if (suspectCount === 0) return open()
      void Promise.race([suspects.runAll(), sleep(maxAloneMs, undefined, { ref: false })]).then(open)
    },
    runFirst: (job, hooks) => run(job, mainThread.run, hooks),
    cancel(claim) {
      if (mainThread.cancel(claim) || threads.cancel(claim)) return
      // One commit can make the claim and cancel it. Its change can arrive before the reply to `claim`.
      if (claiming !== null || suspects.isClaiming()) cancelledEarly.add(claimKey(claim))
    },
    progress: (...job) => mainThread.progress(...job) ?? threads.progress(...job),
    whyWaiting: taskLimits.whyWaiting,
    allProgress: () => [...mainThread.allProgress(), ...threads.allProgress()],
    excuseFailures() {
      excusesFailures = true
    },
    async drain(graceMs) {
      const lastClaims = stopClaiming()
      // Not awaited: the mark matters only if the process is killed, and a store that cannot commit must not delay its end.
      void lastClaims.then(markRunningJobs)
      // A store that cannot commit must not delay the end of the process: jobs without a committed outcome run again.
      const timer = setTimeout(() => givingUp.abort(), graceMs + cancelGraceMs + commitAllowanceMs)
      await Promise.all([lastClaims, suspects.whenDone(), mainThread.stop(graceMs), threads.stop(graceMs)])
      await Promise.all(inFlight)
      clearTimeout(timer)
      return !givingUp.signal.aborted
    },
    giveUpCommits: () => givingUp.abort(),
  }
}

function claimKey(claim: Claim): string {
  return `${jobKey(claim)}/${claim.claim}`
}
