/** The steps of a thread's jobs, which the main thread keeps: asks for each by a message, and waits for its reply. */
import { withResolvers } from '../../runtime/primordials.ts'
import type { AttemptSteps, StepPage, StepReport } from '../../domain/claim.ts'
import type { StepMessage, StepReply } from './messages.ts'

const CallError = Error

interface Waiting {
  readonly id: number
  readonly reply: PromiseWithResolvers<unknown>
}

export function createStepCalls(post: (message: StepMessage) => void) {
  const waiting = Object.create(null) as Record<number, Waiting>
  let nextCall = 0

  function ask(id: number, asked: StepMessage['asked']): Promise<unknown> {
    const reply: PromiseWithResolvers<unknown> = withResolvers()
    waiting[nextCall] = { id, reply }
    post({ type: 'step', id, call: nextCall, asked })
    nextCall += 1
    return reply.promise
  }

  return {
    /** @param id of the job's message */
    of: (id: number): AttemptSteps => ({
      // The main thread is of the same version.
      keep: (step) => ask(id, step) as Promise<StepReport>,
      stored: (from) => ask(id, from) as Promise<StepPage | null>,
    }),
    deliver(replies: readonly StepReply[]): void {
      for (let index = 0; index < replies.length; index += 1) {
        const { id, call, value } = replies[index] as StepReply
        const asked = waiting[call]
        if (asked === undefined || asked.id !== id) continue
        delete waiting[call]
        if (typeof value === 'object' && value !== null && 'failed' in value) {
          asked.reply.reject(new CallError(value.failed))
        } else asked.reply.resolve(value)
      }
    },
  }
}
