/**
 * Claims jobs when there are free slots and gives them to the pool. It owns the slots: nothing is claimed that could
 * not start at once or behind quick jobs, and one claim is under way at a time.
 */
import type { Claim, ClaimedJob } from '../domain/claim.ts'
import type { Clock } from '../domain/clock.ts'
import type { JobProgress, Progress } from '../domain/job.ts'
import { taskKinds } from '../domain/task.ts'
import type { Log } from '../log.ts'
import type { Execution, Pool } from '../execution/pool/pool.ts'
import type { ClaimRequest, ClaimResult, Store } from '../store/store.ts'
import type { Registry } from '../tasks/registry.ts'
import type { Execute, Place } from './execute.ts'

export interface Dispatcher {
  /** Jobs may have become claimable: claims in the same commit as whatever was just asked of the store. */
  wake(): void
  /** Begins to claim; until then `wake` does nothing. */
  start(): void
  /** Runs the jobs that may have killed the process before, one at a time and nothing beside them. */
  runSuspects(): Promise<void>
  /** Claims no more. Resolves when no claim is under way, and what was claimed runs. */
  close(): Promise<void>
  /** Claims no more. Resolves when every running job has ended and is settled; after `graceMs` they are handed back. */
  stop(graceMs: number): Promise<void>
  /** Asks the attempt under this claim, if it runs here, to stop because its job was cancelled. */
  cancel(claim: Claim): void
  /** What a running job has told of itself; null while it has told nothing or does not run here. */
  progress(runId: string, jobIndex: number): Progress | null
  /** Of all jobs that run here and have told something. */
  allProgress(): JobProgress[]
}

export interface DispatcherOptions {
  readonly store: Store
  readonly pool: Pool
  readonly registry: Registry
  readonly execute: Execute
  readonly clock: Clock
  readonly log: Log
}

/** An attempt on a thread, and the claim that it runs under. */
interface Running {
  readonly claim: number
  readonly execution: Execution
}

const claimRetryMs = 500
const maxTimerMs = 2_147_483_647

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { store, pool, registry, execute, clock, log } = options
  const executions = new Map<string, Running>()
  const inFlight = new Set<Promise<void>>()
  const runningByTask = new Map<string, number>()
  /** Claims that were cancelled in the commit that gave them, and are not known here yet. */
  const cancelledEarly = new Set<string>()
  let isOpen = false
  let isStopped = false
  let claiming: Promise<void> | null = null
  let wantsMore = false
  let dueTimer: NodeJS.Timeout | undefined
  let claimingSuspect: Promise<unknown> | null = null
  let suspectsDone = Promise.resolve()
  let capacity = Promise.withResolvers<void>()

  const place: Place = async (job) => {
    const task = registry.get(job.task)
    // The store claims no job of a task that is unknown here: another version runs it.
    if (task === undefined) return 'released'
    if (isStopped) return 'released'
    const execution = pool.run(job, task)
    const key = keyOf(job)
    // It was cancelled and is retried: the attempt before is void, and out of reach from now on.
    executions.get(key)?.execution.cancel()
    executions.set(key, { claim: job.claim, execution })
    if (cancelledEarly.has(claimKeyOf(job))) execution.cancel()
    count(job.task, 1)
    const outcome = await execution.outcome
    if (executions.get(key)?.execution === execution) executions.delete(key)
    count(job.task, -1)
    // The claim of the next job goes into the commit that settles this one.
    wake()
    return outcome
  }

  function run(job: ClaimedJob): Promise<void> {
    const done = execute(job, place).finally(() => inFlight.delete(done))
    inFlight.add(done)
    return done
  }

  function count(task: string, change: number): void {
    runningByTask.set(task, (runningByTask.get(task) ?? 0) + change)
  }

  function claimRequest(only: ClaimRequest['only']): ClaimRequest {
    const limited = registry.all().filter(({ policy }) => policy.concurrency !== null)
    const taskLimits = Object.fromEntries(
      limited.map(({ name, policy }) => [name, (policy.concurrency ?? 0) - (runningByTask.get(name) ?? 0)]),
    )
    return { slots: pool.freeSlots(), taskLimits, only, at: clock.now() }
  }

  function wake(): void {
    wantsMore = true
    if (!isOpen || claiming !== null) return
    const request = claimRequest('all')
    if (request.slots.length === 0) return
    wantsMore = false
    claiming = store.claim(request).then(onClaimed, onClaimFailed)
  }

  function onClaimed({ jobs, nextDueAt }: ClaimResult): void {
    claiming = null
    for (const job of jobs) void run(job)
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
    // One timer suffices: every claim says anew what is due next.
    dueTimer = setTimeout(wake, Math.min(Math.max(0, at - clock.now()), maxTimerMs))
  }

  function onCapacity(): void {
    capacity.resolve()
    capacity = Promise.withResolvers()
    wake()
  }

  async function runSuspects(): Promise<void> {
    while (!isStopped) {
      const request = claimRequest('suspects')
      const changed = capacity.promise
      const claimed = store.claim(request)
      claimingSuspect = claimed
      const [job] = (await claimed).jobs
      if (job !== undefined) {
        const { runId, jobIndex, task, lostStarts } = job
        log.warn({ runId, jobIndex, task, lostStarts }, 'a job that ran while the process died is tried again, alone')
        await run(job)
      } else if (taskKinds.every((kind) => request.slots.some((slot) => slot.kind === kind))) {
        return
      } else {
        // The last one may have cost its thread: others of its kind wait for a new one.
        await changed
      }
    }
  }

  async function close(): Promise<void> {
    isStopped = true
    isOpen = false
    clearTimeout(dueTimer)
    capacity.resolve()
    await Promise.allSettled([claiming, claimingSuspect])
  }

  pool.onCapacity(onCapacity)

  return {
    wake,
    start() {
      if (isStopped) return
      isOpen = true
      wake()
    },
    runSuspects() {
      suspectsDone = runSuspects()
      return suspectsDone
    },
    close,
    async stop(graceMs) {
      const timer = setTimeout(() => {
        for (const { execution } of executions.values()) execution.release()
      }, graceMs)
      await Promise.allSettled([close(), suspectsDone])
      await Promise.all(inFlight)
      clearTimeout(timer)
    },
    cancel(claim) {
      const running = executions.get(keyOf(claim))
      if (running?.claim === claim.claim) running.execution.cancel()
      // The claim may come from the same commit: its changes can arrive before its replies.
      else if (claiming !== null || !isOpen) cancelledEarly.add(claimKeyOf(claim))
    },
    progress: (runId, jobIndex) => executions.get(keyOf({ runId, jobIndex }))?.execution.progress() ?? null,
    allProgress: () =>
      [...executions].flatMap(([key, { execution }]) => {
        const told = execution.progress()
        const [runId = '', jobIndex] = key.split('/')
        return told === null ? [] : [{ runId, jobIndex: Number(jobIndex), ...told }]
      }),
  }
}

function keyOf({ runId, jobIndex }: Pick<ClaimedJob, 'runId' | 'jobIndex'>): string {
  return `${runId}/${jobIndex}`
}

function claimKeyOf(claim: Claim): string {
  return `${keyOf(claim)}/${claim.claim}`
}
