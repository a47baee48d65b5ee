/** Supervises the threads of the pool: which take jobs, which are replaced and why, and which have really exited. */
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
 * `tainted`: a job left the thread in doubt; `recycled`: it was used long enough; `died`: it ended by itself; the
 * others: a job was to stop for that reason and did not.
 */
export type ReplaceCause = AbandonCause | 'tainted' | 'recycled' | 'died'

export interface ThreadSupervisorOptions {
  readonly control: ControlBlock
  readonly hostOf: (thread: PoolThread) => WorkerHost
  /** How long a thread's loop may need to show that it turns, in milliseconds. */
  readonly pingLimitMs: number
  /** How long a thread may take to import a task's module, in milliseconds. */
  readonly loadLimitMs: number
  readonly log: Log
  readonly onReady: () => void
}

const holdUpMs = 20
/** A killed thread that is still there is stuck in native code. */
const stuckAfterMs = 2_000
const loadPauseMs = 100
/** A thread can end because of a job that it runs meanwhile, and be replaced; hardly this often for one module. */
const loadTries = 3
/** Each keeps its memory until its call returns. */
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
  const killed = new Map<PoolThread, NodeJS.Timeout>()
  let givenUp = 0

  function countReplaced(cause: ReplaceCause): void {
    replaced.set(cause, (replaced.get(cause) ?? 0) + 1)
  }

  function enter(thread: PoolThread): void {
    thread.replied = 0
    thread.hasNotedExit = false
    thread.batchSize?.reset()
    for (const slot of thread.slots) control.renew(slot)
    setState(thread, 'ready')
    onReady()
  }

  function leave(thread: PoolThread): void {
    log.info({ thread: thread.name }, 'a thread is gone, a new one is starting')
    clearInterval(killed.get(thread))
    killed.delete(thread)
    // A failing one was never asked to go either.
    if (thread.state === 'ready' || thread.state === 'failing') countReplaced('died')
    setState(thread, 'starting')
    // Neither what it had not begun nor what it was done with can have ended it.
    for (const attempt of thread.attempts) if (!control.isBegun(attempt.slot)) attempt.evict()
    // Read before the slots are used again: the attempts end right after this.
    thread.hasNotedExit = thread.slots.some((slot) => control.hasExited(slot))
    thread.freeSlotNumbers.splice(0, Number.POSITIVE_INFINITY, ...thread.slots)
  }

  function retire(thread: PoolThread, cause: ReplaceCause, detail?: string, atOnce = false): void {
    if (thread.state === 'ready') {
      setState(thread, 'retiring')
      countReplaced(cause)
      log.warn({ thread: thread.name, cause, detail }, 'a thread is to be replaced')
    }
    if (thread.state !== 'retiring') return
    if (thread.batchSize !== null) recall(thread)
    if (atOnce || thread.attempts.size === 0) kill(thread)
  }

  /** Hands back what the thread has not begun. */
  function recall(thread: PoolThread): void {
    thread.batchSize?.reset()
    for (const attempt of thread.attempts) if (attempt.recall()) thread.attempts.delete(attempt)
  }

  /** A job that is not quick must not hold up the jobs after it. */
  function watchForHoldUp(thread: PoolThread): void {
    if (thread.batchSize === null || thread.state !== 'ready' || thread.attempts.size < 2) return
    thread.holdUpTimer ??= setTimeout(() => {
      thread.holdUpTimer = undefined
      const isHeldUp = [...thread.attempts].some(
        ({ slot }) => control.isBegun(slot) && monotonicMs() - control.phase(slot).sinceMs >= holdUpMs,
      )
      if (isHeldUp) recall(thread)
      else watchForHoldUp(thread)
    }, holdUpMs)
  }

  function kill(thread: PoolThread): void {
    if (thread.state !== 'ready' && thread.state !== 'retiring') return
    setState(thread, 'dying')
    for (const attempt of thread.attempts) attempt.evict()
    hostOf(thread).terminate()
    // A stuck cpu thread keeps its place, for what it does may take a core.
    if (thread.kind === 'io') killed.set(thread, setInterval(giveUp, stuckAfterMs, thread).unref())
  }

  /** A stuck `io` thread nearly always waits for something that does not come: its place is needed. */
  function giveUp(thread: PoolThread): void {
    if (givenUp >= maxGivenUp) return
    givenUp += 1
    log.warn({ thread: thread.name }, 'a thread is stuck in native code and is left to itself')
    thread.givenUp += 1
    thread.attempts.clear()
    thread.isPinged = false
    hostOf(thread).giveUp()
  }

  /** The attempt has ended and its task has not. */
  function abandon(thread: PoolThread, attempt: PoolAttempt, cause: AbandonCause): void {
    thread.attempts.delete(attempt)
    retire(thread, cause)
    if (thread.state !== 'retiring') return
    // A thread that runs one job after another can be killed at once: replies to earlier jobs have been sent, or end with it.
    if (thread.batchSize !== null && !isBusy(thread)) kill(thread)
    else void killIfBlocked(thread)
  }

  /** If the loop does not turn, no other job of the thread goes on either: they must run elsewhere. */
  async function killIfBlocked(thread: PoolThread): Promise<void> {
    if (thread.isPinged) return
    thread.isPinged = true
    const timer = setTimeout(() => kill(thread), pingLimitMs)
    try {
      await hostOf(thread).send({ type: 'ping' })
    } catch {
      // It is gone already.
    } finally {
      thread.isPinged = false
      clearTimeout(timer)
    }
  }

  async function load(thread: PoolThread, tasks: readonly Task[], place = 'a worker thread'): Promise<void> {
    // One after another, so that the one that ends the thread is known.
    for (const { name, url } of tasks) {
      const path = fileURLToPath(url)
      const timer = setInterval(() => {
        // Else it waits for its turn.
        if (isBusy(thread)) return
        log.warn({ thread: thread.name }, `${path}: ${place} has not loaded it within ${loadLimitMs} ms`)
        void killIfBlocked(thread)
      }, loadLimitMs).unref()
      const reply = await askToLoad(thread, name, url)
      clearInterval(timer)
      if (reply === null) log.warn({ task: name }, `${path}: ${place} has not loaded it: each has ended meanwhile`)
      else if (reply.flaw !== null) throw new BootError(`${path}: ${place} cannot load it: ${reply.flaw}`)
    }
  }

  /** @returns null when there was no thread that could reply */
  async function askToLoad(thread: PoolThread, task: string, url: string): Promise<LoadReply | null> {
    for (let left = loadTries; left > 0; left -= 1) {
      try {
        // It comes from the thread's entry, which is of the same version.
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

  return {
    /** A thread has loaded its entry and takes jobs. */
    enter,
    /** A thread is gone; a new one follows. */
    leave,
    /** Gives it no more jobs, and replaces it as soon as nobody is on it; `atOnce`, handing back the jobs on it. */
    retire,
    /** The attempt has ended and its task has not. */
    abandon,
    /**
     * Has the thread load these modules while it runs jobs.
     * @throws BootError that names the file when one cannot be loaded there
     */
    load,
    /** The thread was sent a job: if an earlier one takes long, the jobs after it are handed back. */
    watchForHoldUp,
    /** A thread does not begin what it was sent: it is replaced unless one of its jobs keeps it busy, or it replies. */
    doubt(thread: PoolThread): void {
      if (!isBusy(thread)) void killIfBlocked(thread)
    },
    /** Replaces a retiring thread when nobody is on it any more. */
    endRetired(thread: PoolThread): void {
      if (thread.state === 'retiring' && thread.attempts.size === 0) kill(thread)
    },
    /** A thread that was given up has ended after all. */
    forget: (): void => void (givenUp -= 1),
    /** Threads that were replaced since the start, by cause. */
    replaced: (): Readonly<Partial<Record<ReplaceCause, number>>> => Object.fromEntries(replaced),
    /** Threads that were killed, are stuck in native code, and have been replaced all the same. */
    givenUp: (): number => givenUp,
    /** From now on no thread is followed by another. */
    stop(): void {
      for (const timer of killed.values()) clearInterval(timer)
    },
  }
}
