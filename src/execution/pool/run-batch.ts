/** Runs the jobs of one message; replies of those that are over go out early when the rest takes longer. */
import { later, now, withResolvers } from '../../runtime/primordials.ts'
import type { RepliesMessage, JobMessage, JobReply } from './messages.ts'

export interface RunBatchOptions {
  /** One job after another, over all batches; otherwise all at once. */
  readonly isSequential: boolean
  /** Never rejects. */
  readonly runJob: (job: JobMessage) => Promise<JobReply>
  readonly send: (message: RepliesMessage) => void
}

const nothingBefore = Promise.resolve()
/** Replies of jobs that run one after another wait this long for the rest, in milliseconds. */
const sendAfterMs = 5

/** @returns a function that resolves with the replies that were not sent before */
export function createRunBatch({ isSequential, runJob, send }: RunBatchOptions) {
  let last: Promise<unknown> = nothingBefore

  async function runInTurn(jobs: readonly JobMessage[], before: Promise<unknown>): Promise<JobReply[]> {
    await before
    let over: JobReply[] = []
    let sentAt = now()
    let isInDoubt = false

    function sendEarly(): void {
      sentAt = now()
      if (over.length === 0) return
      send({ type: 'replies', replies: over })
      over = []
    }

    for (let index = 0; index < jobs.length; index += 1) {
      const job = jobs[index] as JobMessage
      if (now() - sentAt > sendAfterMs) sendEarly()
      // Should the next one wait for something, it may wait for ever.
      if (over.length === 1) later(sendEarly)
      const reply: JobReply = isInDoubt ? handBack(job) : await runJob(job)
      over[over.length] = reply
      isInDoubt ||= reply.taint !== null
      // At once, by what was taken before: Piscina looks up what it needs for the last replies.
      if (reply.isUnsafe) sendEarly()
    }
    const rest = over
    over = []
    return rest
  }

  function runTogether(jobs: readonly JobMessage[]): Promise<JobReply[]> {
    const { promise, resolve }: PromiseWithResolvers<JobReply[]> = withResolvers()
    let over: JobReply[] = []
    let left = jobs.length
    let isSending = false

    function sendEarly(): void {
      isSending = false
      if (left > 0) sendAll()
    }

    function sendAll(): void {
      if (over.length > 0) send({ type: 'replies', replies: over })
      over = []
    }

    async function run(job: JobMessage): Promise<void> {
      const reply = await runJob(job)
      over[over.length] = reply
      left -= 1
      if (reply.isUnsafe) sendAll()
      if (left === 0) resolve(over)
      else if (!isSending) {
        isSending = true
        later(sendEarly)
      }
    }

    for (let index = 0; index < jobs.length; index += 1) void run(jobs[index] as JobMessage)
    return promise
  }

  return (jobs: readonly JobMessage[]): Promise<JobReply[]> => {
    if (!isSequential) return runTogether(jobs)
    const running = runInTurn(jobs, last)
    last = running
    return running
  }
}

/** The thread is not to be trusted any more with what has not begun. */
function handBack({ id }: JobMessage): JobReply {
  return { id, outcome: 'released', taint: null, isUnsafe: false, tookMs: 0 }
}
