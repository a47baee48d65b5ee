/** Runs the jobs of one message, and tells early what is over of them when the rest takes longer. */
import { later, now, withResolvers } from '../../domain/primordials.ts'
import type { AnswersMessage, JobMessage, ThreadAnswer } from './messages.ts'

export interface RunBatchOptions {
  /** One job after another, over all batches; otherwise all at once. */
  readonly isSequential: boolean
  /** Never rejects. */
  readonly runJob: (job: JobMessage) => Promise<ThreadAnswer>
  readonly tell: (message: AnswersMessage) => void
}

const nothingBefore = Promise.resolve()
/** Of jobs that run one after another, what is over is told after so many milliseconds. */
const tellAfterMs = 5

/** @returns a function that resolves with the answers which were not told before */
export function createRunBatch({ isSequential, runJob, tell }: RunBatchOptions) {
  let last: Promise<unknown> = nothingBefore

  async function runInTurn(jobs: readonly JobMessage[], before: Promise<unknown>): Promise<ThreadAnswer[]> {
    await before
    let over: ThreadAnswer[] = []
    let toldAt = now()
    let isInDoubt = false

    function tellEarly(): void {
      toldAt = now()
      if (over.length === 0) return
      tell({ type: 'answers', answers: over })
      over = []
    }

    for (let index = 0; index < jobs.length; index += 1) {
      const job = jobs[index] as JobMessage
      if (now() - toldAt > tellAfterMs) tellEarly()
      // Should the next one wait for something, it may wait for ever.
      if (over.length === 1) later(tellEarly)
      const answer: ThreadAnswer = isInDoubt ? handBack(job) : await runJob(job)
      over[over.length] = answer
      isInDoubt ||= answer.taint !== null
      // At once, by what was taken before: Piscina looks up what it needs for the last answers.
      if (answer.isUnsafe) tellEarly()
    }
    const rest = over
    over = []
    return rest
  }

  function runTogether(jobs: readonly JobMessage[]): Promise<ThreadAnswer[]> {
    const { promise, resolve }: PromiseWithResolvers<ThreadAnswer[]> = withResolvers()
    let over: ThreadAnswer[] = []
    let left = jobs.length
    let isTelling = false

    function tellEarly(): void {
      isTelling = false
      if (left > 0) tellAll()
    }

    function tellAll(): void {
      if (over.length > 0) tell({ type: 'answers', answers: over })
      over = []
    }

    async function run(job: JobMessage): Promise<void> {
      const answer = await runJob(job)
      over[over.length] = answer
      left -= 1
      if (answer.isUnsafe) tellAll()
      if (left === 0) resolve(over)
      else if (!isTelling) {
        isTelling = true
        later(tellEarly)
      }
    }

    for (let index = 0; index < jobs.length; index += 1) void run(jobs[index] as JobMessage)
    return promise
  }

  return (jobs: readonly JobMessage[]): Promise<ThreadAnswer[]> => {
    if (!isSequential) return runTogether(jobs)
    const running = runInTurn(jobs, last)
    last = running
    return running
  }
}

/** The thread is not to be trusted any more with what has not begun. */
function handBack({ id }: JobMessage): ThreadAnswer {
  return { id, outcome: 'released', taint: null, isUnsafe: false, tookMs: 0 }
}
