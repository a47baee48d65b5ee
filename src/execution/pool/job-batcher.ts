/** Takes jobs to their threads and brings the replies back: one message for all that go the same way in one turn. */
import type { ClaimedJob } from '../../domain/claim.ts'
import type { Task } from '../../tasks/task.ts'
import type { PoolAttempt } from './attempt.ts'
import type { JobMessage, JobReply } from './messages.ts'
import type { PoolThread } from './pool-thread.ts'
import type { WorkerHost } from './worker-host.ts'

export interface JobBatcherOptions {
  readonly hostOf: (thread: PoolThread) => WorkerHost
  readonly onReply: (thread: PoolThread, attempt: PoolAttempt, reply: JobReply) => void
  /** The thread ended, or could not reply. */
  readonly onLost: (thread: PoolThread, attempt: PoolAttempt, error: unknown) => void
}

export function createJobBatcher({ hostOf, onReply, onLost }: JobBatcherOptions) {
  /** `givenUp` of the thread when the job was sent: another number later is another thread. */
  const awaited = new Map<
    number,
    { readonly thread: PoolThread; readonly attempt: PoolAttempt; readonly givenUp: number }
  >()
  const outbox = new Map<PoolThread, JobMessage[]>()
  let nextId = 0

  function deliver(replies: readonly JobReply[]): void {
    for (const reply of replies) {
      const receiver = awaited.get(reply.id)
      // Its thread was found dead before its last words came.
      if (receiver === undefined) continue
      awaited.delete(reply.id)
      onReply(receiver.thread, receiver.attempt, reply)
    }
  }

  function lose(jobs: readonly JobMessage[], error: unknown): void {
    for (const { id } of jobs) {
      const receiver = awaited.get(id)
      awaited.delete(id)
      if (receiver === undefined || receiver.givenUp !== receiver.thread.givenUp) continue
      onLost(receiver.thread, receiver.attempt, error)
    }
  }

  function flush(): void {
    for (const [thread, jobs] of outbox) {
      hostOf(thread)
        .send({ type: 'jobs', jobs })
        // It comes from the thread's entry, which is of the same version.
        .then(
          (replies) => deliver(replies as JobReply[]),
          (error: unknown) => lose(jobs, error),
        )
    }
    outbox.clear()
  }

  return {
    /** Sends the job with all others of this turn; `onReply` or `onLost` follows, once. */
    send(thread: PoolThread, attempt: PoolAttempt, job: Omit<JobMessage, 'id'>): void {
      const message = { ...job, id: nextId }
      nextId += 1
      awaited.set(message.id, { thread, attempt, givenUp: thread.givenUp })
      const jobs = outbox.get(thread)
      if (jobs !== undefined) {
        jobs.push(message)
        return
      }
      if (outbox.size === 0) queueMicrotask(flush)
      outbox.set(thread, [message])
    },
    /** On this thread; undefined where the job with the id was replied to. */
    attemptOn(thread: PoolThread, id: number): PoolAttempt | undefined {
      const receiver = awaited.get(id)
      return receiver?.thread === thread ? receiver.attempt : undefined
    },
    /** A thread has sent these before all jobs of their batch are over. */
    deliver,
  }
}

export function messageOf(job: ClaimedJob, { name, url }: Task, slot: number): Omit<JobMessage, 'id'> {
  const { input, runId, jobIndex, attempt, after, steps, traceparent } = job
  const message = { slot, task: name, url, input, runId, jobIndex, attempt }
  if (after === undefined && steps === undefined && traceparent === undefined) return message
  return {
    ...message,
    ...(after && { after }),
    ...(steps !== undefined && { steps }),
    ...(traceparent !== undefined && { traceparent }),
  }
}
