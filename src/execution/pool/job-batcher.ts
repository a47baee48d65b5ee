/** Sends jobs, and replies to their steps, to the threads: one message for everything that goes to a thread in one turn. */
import { messageOf } from '../../domain/errors.ts'
import type { Task } from '../../tasks/task-module.ts'
import type { PoolAttempt } from './attempt.ts'
import type { JobMessage, JobReply, StepMessage, StepReply } from './pool-messages.ts'
import type { PoolThread } from './pool-thread.ts'
import type { WorkerHost } from './worker-host.ts'

export interface JobBatcherOptions {
  readonly hostOf: (thread: PoolThread) => WorkerHost
  readonly onReply: (thread: PoolThread, attempt: PoolAttempt, reply: JobReply) => void
  /** The thread ended, or could not reply. */
  readonly onNoReply: (thread: PoolThread, attempt: PoolAttempt, error: unknown) => void
}

/** A job without a reply yet. */
interface SentJob {
  readonly thread: PoolThread
  readonly attempt: PoolAttempt
  /** `thread.generation` when the job was sent. */
  readonly generation: number
}

export function createJobBatcher({ hostOf, onReply, onNoReply }: JobBatcherOptions) {
  const sent = new Map<number, SentJob>()
  let nextId = 0

  const sendJob = createOutbox<JobMessage>((thread, jobs) => {
    hostOf(thread)
      .send({ type: 'jobs', jobs })
      // Trusted without a check: the thread's entry is of the same version.
      .then(
        (replies) => deliver(replies as JobReply[]),
        (error: unknown) => failUnreplied(jobs, error),
      )
  })
  const sendStepReply = createOutbox<StepReply>((thread, replies) => {
    hostOf(thread)
      .send({ type: 'step-replies', replies })
      .catch(() => {
        // The thread has ended: nothing waits for the replies.
      })
  })

  function deliver(replies: readonly JobReply[]): void {
    for (const reply of replies) {
      const job = sent.get(reply.id)
      // The end of the thread can be noticed before its last message arrives.
      if (job === undefined) continue
      sent.delete(reply.id)
      onReply(job.thread, job.attempt, reply)
    }
  }

  function failUnreplied(jobs: readonly JobMessage[], error: unknown): void {
    for (const { id } of jobs) {
      const job = sent.get(id)
      sent.delete(id)
      if (job === undefined || job.generation !== job.thread.generation) continue
      onNoReply(job.thread, job.attempt, error)
    }
  }

  async function callKeeper(thread: PoolThread, { id, asked }: StepMessage): Promise<StepReply['value']> {
    const job = sent.get(id)
    // The job has ended, or a task has forged the message.
    if (job?.thread !== thread) return typeof asked === 'number' ? null : 'stale'
    const { job: claimed, keeper } = job.attempt
    try {
      return await (typeof asked === 'number' ? keeper.stored(claimed, asked) : keeper.keep(claimed, asked))
    } catch (error) {
      return { failed: messageOf(error) }
    }
  }

  return {
    /** Sends the job with all others of this turn; `onReply` or `onNoReply` follows, once. */
    send(thread: PoolThread, attempt: PoolAttempt, task: Task): void {
      const id = nextId
      nextId += 1
      sent.set(id, { thread, attempt, generation: thread.generation })
      sendJob(thread, createJobMessage(id, attempt, task))
    },
    /** Handles replies that a thread sends while other jobs of their batch still run. */
    deliver,
    /** Keeps a step of a job on the thread, or reads its steps, and replies. */
    async replyToStep(thread: PoolThread, message: StepMessage): Promise<void> {
      const { id, call } = message
      sendStepReply(thread, { id, call, value: await callKeeper(thread, message) })
    },
  }
}

/** @returns collects the items for each thread, and sends them at the end of this turn of the event loop */
function createOutbox<Item>(send: (thread: PoolThread, items: readonly Item[]) => void) {
  const outbox = new Map<PoolThread, Item[]>()

  function flush(): void {
    for (const [thread, items] of outbox) send(thread, items)
    outbox.clear()
  }

  return (thread: PoolThread, item: Item): void => {
    const items = outbox.get(thread)
    if (items !== undefined) return void items.push(item)
    if (outbox.size === 0) queueMicrotask(flush)
    outbox.set(thread, [item])
  }
}

function createJobMessage(id: number, { job, slot }: PoolAttempt, { name, url }: Task): JobMessage {
  const { input, runId, jobIndex, attempt, after, steps, traceparent } = job
  const message = { id, slot, task: name, url, input, runId, jobIndex, attempt }
  // Nearly always, and quicker than a copy.
  if (after === undefined && steps === undefined && traceparent === undefined) return message
  return {
    ...message,
    ...(after && { after }),
    ...(steps !== undefined && { steps }),
    ...(traceparent !== undefined && { traceparent }),
  }
}
