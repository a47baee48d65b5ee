/** Takes jobs to their threads and brings the answers back: one message for all that go the same way in one turn. */
import type { PoolAttempt } from './attempt.ts'
import type { JobMessage, ThreadAnswer } from './messages.ts'
import type { PoolThread } from './pool-thread.ts'
import type { WorkerHost } from './worker-host.ts'

export interface JobBatcher {
  /** Sends the job with all others of this turn; `onAnswer` or `onLost` follows, once. */
  send(thread: PoolThread, attempt: PoolAttempt, job: Omit<JobMessage, 'id'>): void
  /** A thread has told these before all of their batch are over. */
  deliver(answers: readonly ThreadAnswer[]): void
}

export interface JobBatcherOptions {
  readonly hostOf: (thread: PoolThread) => WorkerHost
  readonly onAnswer: (thread: PoolThread, attempt: PoolAttempt, answer: ThreadAnswer) => void
  /** The thread died, or could not answer. */
  readonly onLost: (thread: PoolThread, attempt: PoolAttempt, error: unknown) => void
}

export function createJobBatcher({ hostOf, onAnswer, onLost }: JobBatcherOptions): JobBatcher {
  /** `givenUp` of the thread when the job was sent: another number later is another thread. */
  const awaited = new Map<
    number,
    { readonly thread: PoolThread; readonly attempt: PoolAttempt; readonly givenUp: number }
  >()
  const outbox = new Map<PoolThread, JobMessage[]>()
  let nextId = 0

  function deliver(answers: readonly ThreadAnswer[]): void {
    for (const answer of answers) {
      const receiver = awaited.get(answer.id)
      // Its thread was found dead before its last words came.
      if (receiver === undefined) continue
      awaited.delete(answer.id)
      onAnswer(receiver.thread, receiver.attempt, answer)
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
          (answers) => deliver(answers as ThreadAnswer[]),
          (error: unknown) => lose(jobs, error),
        )
    }
    outbox.clear()
  }

  return {
    send(thread, attempt, job) {
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
    deliver,
  }
}
