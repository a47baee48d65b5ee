/** Takes jobs, and replies to their steps, to the threads: one message for all that go the same way in one turn. */
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

/** A job that was sent and is not replied to. */
interface Sent {
  readonly thread: PoolThread
  readonly attempt: PoolAttempt
  /** `givenUp` of the thread when the job was sent: another number later is another thread. */
  readonly givenUp: number
}

export function createJobBatcher({ hostOf, onReply, onNoReply }: JobBatcherOptions) {
  const sent = new Map<number, Sent>()
  let nextId = 0

  const sendJob = createOutbox<JobMessage>((thread, jobs) => {
    hostOf(thread)
      .send({ type: 'jobs', jobs })
      // It comes from the thread's entry, which is of the same version.
      .then(
        (replies) => deliver(replies as JobReply[]),
        (error: unknown) => endUnreplied(jobs, error),
      )
  })
  const sendStepReply = createOutbox<StepReply>((thread, replies) => {
    // Where the thread has died, nobody waits for them.
    hostOf(thread)
      .send({ type: 'step-replies', replies })
      .catch(() => {})
  })

  function deliver(replies: readonly JobReply[]): void {
    for (const reply of replies) {
      const job = sent.get(reply.id)
      // Its thread was found dead before its last words came.
      if (job === undefined) continue
      sent.delete(reply.id)
      onReply(job.thread, job.attempt, reply)
    }
  }

  function endUnreplied(jobs: readonly JobMessage[], error: unknown): void {
    for (const { id } of jobs) {
      const job = sent.get(id)
      sent.delete(id)
      if (job === undefined || job.givenUp !== job.thread.givenUp) continue
      onNoReply(job.thread, job.attempt, error)
    }
  }

  async function valueOf(thread: PoolThread, { id, asked }: StepMessage): Promise<StepReply['value']> {
    const job = sent.get(id)
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
      sent.set(id, { thread, attempt, givenUp: thread.givenUp })
      sendJob(thread, jobMessage(id, attempt, task))
    },
    /** A thread has sent these before all jobs of their batch are over. */
    deliver,
    /** Keeps or reads the steps of a job on a thread, and replies to it. */
    async answerStep(thread: PoolThread, message: StepMessage): Promise<void> {
      const { id, call } = message
      sendStepReply(thread, { id, call, value: await valueOf(thread, message) })
    },
  }
}

/** @returns a function that collects what goes to each thread in one turn of the event loop */
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

function jobMessage(id: number, { job, slot }: PoolAttempt, { name, url }: Task): JobMessage {
  const { input, runId, jobIndex, attempt, after, steps, traceparent } = job
  const message = { id, slot, task: name, url, input, runId, jobIndex, attempt }
  if (after === undefined && steps === undefined && traceparent === undefined) return message
  return {
    ...message,
    ...(after && { after }),
    ...(steps !== undefined && { steps }),
    ...(traceparent !== undefined && { traceparent }),
  }
}
