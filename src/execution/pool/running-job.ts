/** One job on this thread, which meets the pool in its slot of the control block; and the jobs of one message. */
import { getHeapStatistics } from 'node:v8'
import type { AttemptOutcome, AttemptSteps } from '../../domain/claim.ts'
import { apply, withResolvers, later, now } from '../../runtime/primordials.ts'
import { createRunningTask, type RunningTask } from '../running-task.ts'
import type { ControlBlock } from './control-block.ts'
import { unspentReply, type JobMessage, type LogMessage, type RepliesMessage, type JobReply } from './pool-messages.ts'

export interface RunningJob {
  readonly task: RunningTask
  /** Its module is loaded: from now on its time and memory count. False when it is over or was asked to stop. */
  begin(): boolean
  /** Ends the attempt; the first outcome counts. */
  endWith(outcome: AttemptOutcome): void
  /** Leaves the slot to the next job. */
  close(): void
}

// Taken before any task runs, because a job that has ended can still change what the next one depends on.
const { defineProperty } = Reflect
const measure = getHeapStatistics
const Controller = AbortController
const StopError = DOMException
const { abort } = AbortController.prototype
const abortedGetter = Object.getOwnPropertyDescriptor(AbortSignal.prototype, 'aborted')?.get

interface TakeJobOptions {
  readonly message: JobMessage
  readonly control: ControlBlock
  readonly post: (message: LogMessage) => void
  /** The steps of the job with this id. */
  readonly stepsOf: (id: number) => AttemptSteps
}

/** @returns null when the job was recalled before */
export function takeJob({ message, control, post, stepsOf }: TakeJobOptions): RunningJob | null {
  if (!control.take(message.slot)) return null
  const { slot } = message
  const { promise, resolve }: PromiseWithResolvers<AttemptOutcome> = withResolvers()
  let isOver = false
  let stop: ReturnType<typeof createStopSignal> | undefined

  const write = (line: Omit<LogMessage, 'type'>): void => post({ type: 'log', ...line })
  const task = createRunningTask(message, {
    called: 'a job',
    attempt: { outcome: promise, isOver: () => isOver, breakOff: resolve },
    // Made on demand: most jobs never use it, and the wait for `stop` costs more than a quick job.
    signal() {
      // The slot may belong to the next job already, so it must not be read.
      if (stop === undefined && isOver) return new Controller().signal
      stop ??= createStopSignal(control, slot)
      return stop.signal
    },
    steps: () => stepsOf(message.id),
    report: ({ fraction, message: text }) => control.setProgress(slot, fraction, text),
    write,
    // Noted before the thread ends, so that only the right job is blamed.
    onExit() {
      control.noteExit(slot, isOver ? 'endedJob' : 'job')
      if (isOver) write({ level: 'warn', message: 'a job that had ended ends its thread', fields: task.ids })
    },
  })
  task.isLoading = true
  return {
    task,
    begin() {
      // The slot may belong to the next job already.
      if (isOver) return false
      if (control.isStopped(slot)) {
        resolve({ ok: false, error: { code: 'cancelled', message: 'was not begun' }, isRetryable: false })
        return false
      }
      const { used_heap_size: heapBytes, external_memory: externalBytes } = measure()
      control.setStartBytes(slot, heapBytes + externalBytes)
      control.setRunning(slot)
      task.isLoading = false
      return true
    },
    endWith: resolve,
    close() {
      isOver = true
      control.setOver(slot)
      stop?.close()
    },
  }
}

/**
 * A signal that follows the slot's `stop` command. Asynchronous code gets an `abort` event. `aborted` and
 * `throwIfAborted()` read the shared memory themselves, so a loop that blocks the event loop sees the command too.
 */
function createStopSignal(control: ControlBlock, slot: number) {
  const controller = new Controller()
  const { signal } = controller
  let isClosed = false

  const poll = (): boolean => {
    const isAborted = readAborted(signal)
    if (isAborted || isClosed || !control.isStopped(slot)) return isAborted
    apply(abort, controller, [new StopError('the job was asked to stop', 'AbortError')])
    return true
  }
  async function pollWhenStopped(): Promise<void> {
    await control.waitForStop(slot)
    poll()
  }
  // Both are overridden, because throwIfAborted() does not use the getter.
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
    /** From now on the slot's commands are for the next job. */
    close(): void {
      isClosed = true
      control.endWait(slot)
    },
  }
}

/** The signal's own state, without the override. */
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
/** How long the replies of synchronous jobs wait for each other, in milliseconds. */
const sendAfterMs = 5

/**
 * Runs the jobs of one message.
 * @returns resolves when all are over, with the replies that were not sent early (`collectReplies`)
 */
export function createRunBatch({ isSequential, runJob, send }: RunBatchOptions) {
  let last: Promise<unknown> = nothingBefore

  async function runInTurn(jobs: readonly JobMessage[], before: Promise<unknown>): Promise<JobReply[]> {
    await before
    const replies = collectReplies(jobs.length, send)
    let isTainted = false
    for (let index = 0; index < jobs.length; index += 1) {
      const job = jobs[index] as JobMessage
      replies.sendIfLate()
      // A tainted thread begins no further job.
      const reply: JobReply = isTainted ? unspentReply(job.id) : await runJob(job)
      isTainted ||= reply.taint !== null
      replies.add(reply)
    }
    return replies.rest
  }

  function runTogether(jobs: readonly JobMessage[]): Promise<JobReply[]> {
    const replies = collectReplies(jobs.length, send)
    const run = async (job: JobMessage): Promise<void> => replies.add(await runJob(job))
    for (let index = 0; index < jobs.length; index += 1) void run(jobs[index] as JobMessage)
    return replies.rest
  }

  return (jobs: readonly JobMessage[]): Promise<JobReply[]> => {
    if (!isSequential) return runTogether(jobs)
    const running = runInTurn(jobs, last)
    last = running
    return running
  }
}

/**
 * Collects the replies to the jobs of one message. While other jobs still run, replies are sent early: at the end of the
 * turn, by `sendIfLate` in a turn that takes long, and at once when they are unsafe.
 */
function collectReplies(count: number, send: RunBatchOptions['send']) {
  const { promise: rest, resolve }: PromiseWithResolvers<JobReply[]> = withResolvers()
  let ready: JobReply[] = []
  let left = count
  let isScheduled = false
  let sentAt = now()

  function sendReady(): void {
    isScheduled = false
    sentAt = now()
    // Those of the last turn go with `rest`.
    if (ready.length > 0 && left > 0) sendAll()
  }

  function sendAll(): void {
    send({ type: 'replies', replies: ready })
    ready = []
  }

  return {
    /** Resolves when all are there, with those that were not sent early. */
    rest,
    add(reply: JobReply): void {
      ready[ready.length] = reply
      left -= 1
      // Not with `rest`, which Piscina sends by built-ins that the job may have changed.
      if (reply.taint?.isUnsafe === true) sendAll()
      if (left === 0) return resolve(ready)
      if (isScheduled) return
      isScheduled = true
      later(sendReady)
    },
    /** Call it between two jobs, which can both be synchronous: then no turn ends between them. */
    sendIfLate(): void {
      if (now() - sentAt > sendAfterMs) sendReady()
    },
  }
}
