/** A job on this thread, which meets the pool in its slot of the control block; and the jobs of one message, run together. */
import { getHeapStatistics } from 'node:v8'
import type { AttemptOutcome, AttemptSteps } from '../../domain/claim.ts'
import { apply, withResolvers, later, now } from '../../runtime/primordials.ts'
import { createRunningTask, type RunningTask } from '../running-task.ts'
import type { ControlBlock } from './control-block.ts'
import type { JobMessage, LogMessage, RepliesMessage, JobReply } from './pool-messages.ts'

export interface RunningJob {
  readonly task: RunningTask
  /** Its module is loaded: from now on its time and its memory count. False when it is over, or is to stop, already. */
  begin(): boolean
  /** It has come to an outcome of its own; the first one counts. */
  settle(outcome: AttemptOutcome): void
  end(): void
}

// Taken before any task runs, for a job that has ended can still change what the next one depends on.
const { defineProperty } = Reflect
const measure = getHeapStatistics
const Controller = AbortController
const StopError = DOMException
const { abort } = AbortController.prototype
const abortedGetter = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted')?.get

/**
 * @param stepsOf the steps of the job with this id
 * @returns null when the job was taken back before
 */
export function takeJob(
  message: JobMessage,
  control: ControlBlock,
  post: (message: LogMessage) => void,
  stepsOf: (id: number) => AttemptSteps,
): RunningJob | null {
  if (!control.take(message.slot)) return null
  const { slot } = message
  const { promise, resolve }: PromiseWithResolvers<AttemptOutcome> = withResolvers()
  let isOver = false
  let hasBegun = false
  let stop: StopSignal | undefined

  const write = (line: Omit<LogMessage, 'type'>): void => post({ type: 'log', ...line })
  const task = createRunningTask(message, {
    called: 'a job',
    ended: promise,
    isOver: () => isOver,
    hasBegun: () => hasBegun,
    // Made when it is asked for: most jobs never do, and listening costs more than a quick job.
    signal() {
      // After the end the slot is the next job's.
      if (stop === undefined && isOver) return new Controller().signal
      stop ??= createStopSignal(control, slot)
      return stop.signal
    },
    steps: () => stepsOf(message.id),
    report: ({ fraction, message: text }) => control.setProgress(slot, fraction, text),
    write,
    fail: resolve,
    // Noted before the thread ends, so that the right one of its jobs is blamed.
    onExit(code) {
      control.setExit(slot, isOver ? null : code)
      if (isOver) write({ level: 'warn', message: 'a job that had ended ends its thread', fields: task.ids })
    },
  })
  return {
    task,
    begin() {
      // After the end the slot is the next job's.
      if (isOver) return false
      if (control.isStopped(slot)) {
        resolve({ ok: false, error: { code: 'cancelled', message: 'was not begun' }, isRetryable: false })
        return false
      }
      const { used_heap_size: heapBytes, external_memory: externalBytes } = measure()
      control.setStartBytes(slot, heapBytes + externalBytes)
      control.run(slot)
      hasBegun = true
      return true
    },
    settle: resolve,
    end() {
      isOver = true
      control.end(slot)
      stop?.end()
    },
  }
}

interface StopSignal {
  readonly signal: AbortSignal
  /** The job has ended: the slot's commands are no longer meant for this signal. */
  end(): void
}

/**
 * A signal that follows the slot's `stop` command: asynchronous code hears it as an event. Its `aborted` and
 * `throwIfAborted()` look into the shared memory themselves, so a loop that never lets the event loop turn sees the
 * command too.
 */
function createStopSignal(control: ControlBlock, slot: number): StopSignal {
  const controller = new Controller()
  const { signal } = controller
  let isOver = false

  const poll = (): boolean => {
    const isAborted = readAborted(signal)
    if (isAborted || isOver || !control.isStopped(slot)) return isAborted
    apply(abort, controller, [new StopError('the job was asked to stop', 'AbortError')])
    return true
  }
  async function pollWhenStopped(): Promise<void> {
    await control.stopped(slot)
    poll()
  }
  // Both: throwIfAborted() does not ask the overridden getter.
  defineProperty(signal, 'aborted', { __proto__: null, get: poll } as PropertyDescriptor)
  defineProperty(signal, 'throwIfAborted', {
    __proto__: null,
    value: () => {
      if (poll()) throw signal.reason
    },
  } as PropertyDescriptor)
  void pollWhenStopped()
  return {
    signal,
    end() {
      isOver = true
      control.finish(slot)
    },
  }
}

/** The signal's own state, past the override. */
function readAborted(signal: AbortSignal): boolean {
  return abortedGetter !== undefined && apply(abortedGetter, signal, []) === true
}

interface RunBatchOptions {
  /** One job after another, over all batches; otherwise all at once. */
  readonly isSequential: boolean
  /** Never rejects. */
  readonly runJob: (job: JobMessage) => Promise<JobReply>
  readonly send: (message: RepliesMessage) => void
}

const nothingBefore = Promise.resolve()
/** Replies of jobs that run one after another wait this long for the rest, in milliseconds. */
const sendAfterMs = 5

/**
 * Runs the jobs of one message; replies of those that are over go out early when the rest takes longer.
 * @returns a function that resolves with the replies that were not sent before
 */
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
