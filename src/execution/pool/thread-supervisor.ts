/** Supervises the threads of the pool: which take jobs, which are replaced and why, and which have ended. */
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { BootError } from '../../domain/errors.ts'
import { monotonicMs } from '../../runtime/clock.ts'
import type { Log } from '../../log.ts'
import type { Task } from '../../tasks/task-module.ts'
import type { AbandonCause, PoolAttempt } from './attempt.ts'
import type { ControlBlock } from './control-block.ts'
import type { LoadReply } from './pool-messages.ts'
import { setState, type PoolThread } from './pool-thread.ts'
import type { WorkerHost } from './worker-host.ts'

/**
 * `tainted`: a job left the thread in a state that can affect other jobs; `recycled`: it was used long enough; `died`: it
 * ended by itself; the others: an attempt on it ended for this reason, and its task went on.
 */
export type ReplaceCause = AbandonCause | 'tainted' | 'recycled' | 'died'

export interface ThreadSupervisorOptions {
  readonly control: ControlBlock
  readonly hostOf: (thread: PoolThread) => WorkerHost
  /** How long a thread may take to reply to a ping, in milliseconds; then its loop counts as blocked. */
  readonly pingLimitMs: number
  /** How long a thread may take to import a task's module, in milliseconds. */
  readonly loadLimitMs: number
  readonly log: Log
  readonly onReady: () => void
}

const holdUpMs = 20
/** A killed thread that has not ended after this time is stuck in native code. */
const stuckAfterMs = 2_000
const loadPauseMs = 100
/** A job that runs meanwhile can end the thread, but hardly this often during one load. */
const loadTries = 3
/** Each keeps its memory until its native call returns. */
const maxGivenUp = 4

export function createThreadSupervisor({
  control,
  hostOf,
  pingLimitMs,
  loadLimitMs,
  log,
  onReady,
}: ThreadSupervisorOptions) {
  const replaced = new Map<ReplaceCause, number>()
  const giveUpTimers = new Map<PoolThread, NodeJS.Timeout>()
  let givenUp = 0

  function countReplaced(cause: ReplaceCause): void {
    replaced.set(cause, (replaced.get(cause) ?? 0) + 1)
  }

  /** Hands back the jobs that the thread has not begun. */
  function recallJobs(thread: PoolThread): void {
    thread.batchSize?.reset()
    // Without these attempts the thread can be replaced. Their slots are free when it has replied: until then it reads them.
    for (const attempt of thread.attempts) if (attempt.recall()) thread.attempts.delete(attempt)
  }

  function retire(thread: PoolThread, cause: ReplaceCause, detail?: string): void {
    if (thread.state === 'ready') {
      setState(thread, 'retiring')
      countReplaced(cause)
      log.warn({ thread: thread.name, cause, detail }, 'a thread is to be replaced')
    }
    if (thread.state !== 'retiring') return
    if (thread.batchSize !== null) recallJobs(thread)
    replaceIfIdle(thread)
  }

  function replaceIfIdle(thread: PoolThread): void {
    if (thread.state === 'retiring' && thread.attempts.size === 0) kill(thread)
  }

  function kill(thread: PoolThread): void {
    if (thread.state !== 'ready' && thread.state !== 'retiring') return
    setState(thread, 'dying')
    for (const attempt of thread.attempts) attempt.evict()
    hostOf(thread).terminate()
    // A stuck `cpu` thread may still use a core, so only an `io` thread gets a successor before it has ended.
    if (thread.kind === 'io') giveUpTimers.set(thread, setInterval(giveUp, stuckAfterMs, thread).unref())
  }

  /** A stuck `io` thread nearly always waits for something that does not happen. */
  function giveUp(thread: PoolThread): void {
    if (givenUp >= maxGivenUp) return
    givenUp += 1
    log.warn({ thread: thread.name }, 'a thread is stuck in native code and is left to itself')
    thread.generation += 1
    thread.attempts.clear()
    thread.isPinged = false
    hostOf(thread).giveUp()
  }

  /** When the loop is blocked, the other jobs of the thread cannot go on either: they must run elsewhere. */
  async function killIfBlocked(thread: PoolThread): Promise<void> {
    if (thread.isPinged) return
    thread.isPinged = true
    const timer = setTimeout(() => kill(thread), pingLimitMs)
    try {
      await hostOf(thread).send({ type: 'ping' })
    } catch {
      // The thread has ended.
    } finally {
      thread.isPinged = false
      clearTimeout(timer)
    }
  }

  /** @returns null when the thread ended at each try */
  async function askToLoad(thread: PoolThread, task: string, url: string): Promise<LoadReply | null> {
    for (let left = loadTries; left > 0; left -= 1) {
      try {
        // Trusted without a check: the thread's entry is of the same version.
        return (await hostOf(thread).send({ type: 'load', task, url })) as LoadReply
      } catch {
        await sleep(loadPauseMs, undefined, { ref: false })
      }
    }
    return null
  }

  function isBusy(thread: PoolThread): boolean {
    return [...thread.attempts].some(({ slot }) => control.isBegun(slot))
  }

  /** A slow job must not hold up the jobs that were sent after it: they are handed back. */
  function watchForHoldUp(thread: PoolThread): void {
    if (thread.batchSize === null || thread.state !== 'ready' || thread.attempts.size < 2) return
    thread.holdUpTimer ??= setTimeout(() => {
      thread.holdUpTimer = undefined
      const isHeldUp = [...thread.attempts].some(
        ({ slot }) => control.isBegun(slot) && monotonicMs() - control.phase(slot).sinceMs >= holdUpMs,
      )
      if (isHeldUp) recallJobs(thread)
      else watchForHoldUp(thread)
    }, holdUpMs)
  }

  return {
    /** The thread has loaded its entry and takes jobs. */
    onThreadReady(thread: PoolThread): void {
      thread.replied = 0
      thread.isExitNoted = false
      thread.batchSize?.reset()
      for (const slot of thread.slots) control.resetForThread(slot)
      setState(thread, 'ready')
      onReady()
    },
    /** The thread has ended; another one follows. */
    onThreadGone(thread: PoolThread): void {
      log.info({ thread: thread.name }, 'a thread is gone, a new one is starting')
      clearInterval(giveUpTimers.get(thread))
      giveUpTimers.delete(thread)
      // In the other states it was asked to end, which is counted already.
      if (thread.state === 'ready' || thread.state === 'failing') countReplaced('died')
      setState(thread, 'starting')
      // A job that the thread had not begun, or had finished, cannot have ended it.
      for (const attempt of thread.attempts) if (!control.isBegun(attempt.slot)) attempt.evict()
      // `onNoReply` reads it for each of the other attempts, whose rejections follow this `exit` event as microtasks.
      thread.isExitNoted = thread.slots.some((slot) => control.hasNotedExit(slot))
      // Also the slots of those attempts, which end before the next thread is ready.
      thread.freeSlots.splice(0, Number.POSITIVE_INFINITY, ...thread.slots)
    },
    /** Gives the thread no more jobs, and replaces it as soon as none runs on it. */
    retire,
    /** Replaces the thread at once, and hands back its jobs: their results could be wrong. */
    replaceNow(thread: PoolThread, cause: ReplaceCause, detail: string): void {
      retire(thread, cause, detail)
      if (thread.state === 'retiring') kill(thread)
    },
    /** Replaces a retiring thread if no job runs on it any more. */
    replaceIfIdle,
    /** The attempt is over and its task goes on: only the end of the thread can stop it. */
    abandon(thread: PoolThread, attempt: PoolAttempt, cause: AbandonCause): void {
      thread.attempts.delete(attempt)
      retire(thread, cause)
      if (thread.state !== 'retiring') return
      // A kill loses the results of jobs whose replies have not been sent: they run again. A thread that runs one job after
      // another is killed at once, unless the next job has begun, which shows that the abandoned task has ended.
      if (thread.batchSize !== null && !isBusy(thread)) kill(thread)
      else void killIfBlocked(thread)
    },
    /**
     * Has the thread load the modules of these tasks while it runs jobs.
     * @param called as the log calls the thread
     * @throws BootError that names the file when one cannot be loaded there
     */
    async load(thread: PoolThread, tasks: readonly Task[], called = 'a worker thread'): Promise<void> {
      // One after another, so that the module that ends the thread is known.
      for (const { name, url } of tasks) {
        const path = fileURLToPath(url)
        const timer = setInterval(() => {
          // A busy thread has not come to the module yet.
          if (isBusy(thread)) return
          log.warn({ thread: thread.name }, `${path}: ${called} has not loaded it within ${loadLimitMs} ms`)
          void killIfBlocked(thread)
        }, loadLimitMs).unref()
        const reply = await askToLoad(thread, name, url)
        clearInterval(timer)
        if (reply === null) log.warn({ task: name }, `${path}: ${called} has not loaded it: each has ended meanwhile`)
        else if (reply.flaw !== null) throw new BootError(`${path}: ${called} cannot load it: ${reply.flaw}`)
      }
    },
    watchForHoldUp,
    /** The thread has not begun a job that it was sent: it is killed if its loop is blocked and no job keeps it busy. */
    checkUnbegun(thread: PoolThread): void {
      if (!isBusy(thread)) void killIfBlocked(thread)
    },
    /** A thread that was given up has ended. */
    onGivenUpGone: (): void => void (givenUp -= 1),
    /** Threads that were replaced since the start, by cause. */
    replaced: (): Readonly<Partial<Record<ReplaceCause, number>>> => Object.fromEntries(replaced),
    /** Threads that were given up and have not ended. */
    givenUp: (): number => givenUp,
    /** No further thread is given up. */
    cancelGiveUps(): void {
      for (const timer of giveUpTimers.values()) clearInterval(timer)
    },
  }
}
