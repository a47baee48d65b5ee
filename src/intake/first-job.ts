/** Runs first jobs on the main thread, where their callers wait for them. */
import type { ClaimedJob } from '../domain/claim.ts'
import type { Outcome } from '../domain/job.ts'
import type { TaskContext } from '../domain/task.ts'
import type { Log } from '../log.ts'
import { runAttempt } from '../tasks/attempt.ts'
import type { Registry } from '../tasks/registry.ts'

export interface FirstJobs {
  /** Runs one attempt; resolves to its outcome and never rejects. */
  run(job: ClaimedJob): Promise<Outcome | 'released'>
  /** Resolves when none runs; after `graceMs` those that do are asked to stop, and handed back. */
  stop(graceMs: number): Promise<void>
}

export interface FirstJobsOptions {
  readonly registry: Registry
  readonly log: Log
  /** From the signal to the moment when the job is given up, in milliseconds. */
  readonly cancelGraceMs: number
}

interface Running {
  readonly ended: Promise<Outcome | 'released'>
  stop(outcome: Outcome | 'released', reason: string): void
}

export function createFirstJobs({ registry, log, cancelGraceMs }: FirstJobsOptions): FirstJobs {
  const running = new Set<Running>()

  function start(job: ClaimedJob): Running {
    const task = registry.get(job.task)
    if (task === undefined) throw new Error(`the task ${job.task} was accepted and is not registered`)
    const controller = new AbortController()
    const { promise: ended, resolve } = Promise.withResolvers<Outcome | 'released'>()
    let stoppedAs: Outcome | 'released' | null = null
    let graceTimer: NodeJS.Timeout | undefined

    function stop(outcome: Outcome | 'released', reason: string): void {
      if (stoppedAs !== null) return
      stoppedAs = outcome
      controller.abort(new DOMException(reason, 'AbortError'))
      // The main thread cannot be killed: a job that does not heed the signal is left to itself.
      graceTimer = setTimeout(resolve, cancelGraceMs, outcome)
    }

    const message = `did not end within ${job.timeoutMs} ms`
    const timeout: Outcome = { ok: false, error: { code: 'timeout', message }, isRetryable: true }
    const timer = setTimeout(stop, job.timeoutMs, timeout, message)
    void runAttempt(task, job.input, createContext(job, controller.signal)).then((outcome) => {
      // As on a thread: who was only asked to hand the job back may still complete it.
      const isInTime = stoppedAs === null || (stoppedAs === 'released' && outcome.ok)
      resolve(isInTime ? outcome : (stoppedAs ?? outcome))
    })
    void ended.then(() => {
      clearTimeout(timer)
      clearTimeout(graceTimer)
    })
    return { ended, stop }
  }

  function createContext(job: ClaimedJob, signal: AbortSignal): TaskContext {
    const { runId, jobIndex, attempt } = job
    const line = (level: 'debug' | 'info' | 'warn' | 'error') => (text: unknown, fields?: object) =>
      log[level]({ ...fields, runId, jobIndex, attempt }, String(text))
    return {
      signal,
      // Nobody can see it: the job's caller is waiting for the result itself.
      progress: () => {},
      log: { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') },
      attempt,
      runId,
      jobIndex,
    }
  }

  return {
    async run(job) {
      const job0 = start(job)
      running.add(job0)
      const outcome = await job0.ended
      running.delete(job0)
      return outcome
    },
    async stop(graceMs) {
      const timer = setTimeout(() => {
        for (const job of running) job.stop('released', 'the service is stopping')
      }, graceMs)
      await Promise.all([...running].map(({ ended }) => ended))
      clearTimeout(timer)
    },
  }
}
