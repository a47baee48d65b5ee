/** Keeps the steps of jobs on threads: what they ask for by a message goes to the keeper, and replies of one turn go together. */
import type { StepMessage, StepReply } from './messages.ts'
import type { PoolAttempt } from './attempt.ts'
import type { PoolThread } from './pool-thread.ts'
import type { WorkerHost } from './worker-host.ts'

export interface StepDeskOptions {
  readonly hostOf: (thread: PoolThread) => WorkerHost
  /** The attempt on the thread whose message had this id; undefined where it was replied to. */
  readonly attemptOn: (thread: PoolThread, id: number) => PoolAttempt | undefined
}

export function createStepDesk({ hostOf, attemptOn }: StepDeskOptions) {
  const outbox = new Map<PoolThread, StepReply[]>()

  async function valueOf(thread: PoolThread, { id, asked }: StepMessage): Promise<StepReply['value']> {
    const attempt = attemptOn(thread, id)
    if (attempt === undefined) return typeof asked === 'number' ? null : 'stale'
    const { job, keeper } = attempt
    try {
      return await (typeof asked === 'number' ? keeper.stored(job, asked) : keeper.keep(job, asked))
    } catch (error) {
      return { failed: error instanceof Error ? error.message : String(error) }
    }
  }

  function flush(): void {
    for (const [thread, replies] of outbox) {
      // Where the thread has died, nobody waits for them.
      hostOf(thread)
        .send({ type: 'step-replies', replies })
        .catch(() => {})
    }
    outbox.clear()
  }

  return async (thread: PoolThread, message: StepMessage): Promise<void> => {
    const { id, call } = message
    const reply = { id, call, value: await valueOf(thread, message) }
    const replies = outbox.get(thread)
    if (replies !== undefined) return void replies.push(reply)
    if (outbox.size === 0) queueMicrotask(flush)
    outbox.set(thread, [reply])
  }
}
