/**
 * The host of one child process, in the form of a worker host. The first job starts the process; a process that has run a
 * job is replaced as soon as it has ended. It shares no memory with the service: what a thread would write to the control
 * block arrives in messages and is written here.
 */
import type { ControlBlock } from './control-block.ts'
import { startChild, type Child } from './child-process.ts'
import {
  type FromChild,
  type JobMessage,
  type JobReply,
  type MainMessage,
  type Measurement,
  receivers,
  type RelayMessage,
  type ToThread,
  unspentReply,
} from './pool-messages.ts'
import type { WorkerHost, WorkerHostOptions } from './worker-host.ts'

export interface ProcessHostOptions extends Pick<
  WorkerHostOptions,
  'maxHeapMb' | 'flags' | 'onReady' | 'onGone' | 'onError' | 'onMessage'
> {
  readonly control: ControlBlock
  /** How long a process may take to start, in milliseconds. */
  readonly startLimitMs: number
}

/** The pause before a process that failed to start is tried again. */
const reopenAfterMs = 1_000

const nothingBefore: Promise<unknown> = Promise.resolve()

type Waiting = Omit<PromiseWithResolvers<unknown>, 'promise'>

export function createProcessHost(options: ProcessHostOptions): WorkerHost {
  const { control, startLimitMs, maxHeapMb, flags } = options
  let child: Child | null = null
  let isUp = false
  let hasWorked = false
  /** Whether the last start failed: the host takes no jobs until a start succeeds. */
  let hasFailed = false
  let isDestroyed = false
  let timer: NodeJS.Timeout | undefined
  let running: JobMessage | null = null
  let last: Promise<unknown> = nothingBefore
  let nextSeq = 0
  const waitingForReply = new Map<number, Waiting>()
  const waitingForStart: Waiting[] = []
  const gone = Promise.withResolvers<void>()

  function open(): void {
    isUp = false
    hasWorked = false
    child = startChild({ maxHeapMb, flags, onMessage, onMeasured, onGone })
    timer = setTimeout(child.kill, startLimitMs)
  }

  function onMessage(message: FromChild): void {
    if (message.type === 'hello') onHello()
    else if (message.type === 'reply') deliver(message.seq, message.reply)
    else if (message.type === 'log' || message.type === 'step' || message.type === 'replies') options.onMessage(message)
    else if (running === null) return
    else if (message.type === 'exit') control.noteExit(running.slot, message.by)
    else {
      control.setStartBytes(running.slot, message.startBytes)
      control.setRunning(running.slot)
    }
  }

  function onHello(): void {
    clearTimeout(timer)
    isUp = true
    for (const { resolve } of waitingForStart.splice(0)) resolve(null)
    if (!hasFailed) return
    hasFailed = false
    options.onReady()
  }

  function onMeasured(measured: Measurement): void {
    deliver(measured.seq, measured)
  }

  function deliver(seq: number, reply: unknown): void {
    waitingForReply.get(seq)?.resolve(reply)
    waitingForReply.delete(seq)
  }

  function onGone(error: unknown): void {
    clearTimeout(timer)
    const wasUp = isUp
    child = null
    isUp = false
    if (isDestroyed) gone.resolve()
    else if (!hasFailed) options.onGone()
    for (const { reject } of [...waitingForStart.splice(0), ...waitingForReply.values()]) reject(error)
    waitingForReply.clear()
    last = nothingBefore
    if (running !== null) control.endWait(running.slot)
    running = null
    if (isDestroyed) return
    if (wasUp) {
      // Not before the attempts have ended, because then their slots are used again.
      setImmediate(goOn)
      return
    }
    hasFailed = true
    options.onError(error)
    timer = setTimeout(open, reopenAfterMs)
  }

  function goOn(): void {
    if (isDestroyed) return
    // After a process that ran no job, the next one is started by its first job.
    if (hasWorked && child === null) open()
    options.onReady()
  }

  function ask(send: (seq: number) => void): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    nextSeq += 1
    waitingForReply.set(nextSeq, { resolve, reject })
    send(nextSeq)
    return promise
  }

  function sendToRelay(message: RelayMessage): void {
    child?.send(receivers.relay, message)
  }

  function askMainThread(message: ToThread): Promise<unknown> {
    return ask((seq) => child?.send(receivers.main, { seq, message } satisfies MainMessage))
  }

  /** Resolves when the process has started; rejects when it cannot be started. */
  async function whenUp(): Promise<void> {
    if (isUp) return
    await new Promise((resolve, reject) => waitingForStart.push({ resolve, reject }))
  }

  async function runInTurn(jobs: readonly JobMessage[], before: Promise<unknown>): Promise<JobReply[]> {
    await before
    await whenUp()
    for (const job of jobs) {
      const replies = await runJob(job)
      if (replies.length > 0) options.onMessage({ type: 'replies', replies })
    }
    return []
  }

  async function runJob(job: JobMessage): Promise<readonly JobReply[]> {
    if (!control.take(job.slot)) return [unspentReply(job.id)]
    running = job
    hasWorked = true
    sendToRelay({ type: 'next' })
    void passStop(job)
    const replies = await askMainThread({ type: 'jobs', jobs: [{ ...job, slot: 0 }] })
    running = null
    control.setOver(job.slot)
    control.endWait(job.slot)
    // Trusted without a check: the child's entry is of the same version.
    return replies as readonly JobReply[]
  }

  async function passStop(job: JobMessage): Promise<void> {
    await control.waitForStop(job.slot)
    if (running === job && control.isStopped(job.slot)) sendToRelay({ type: 'stop' })
  }

  return {
    async start() {},
    async send(message) {
      if (isDestroyed || hasFailed) throw new Error('no process')
      // The start has a limit of its own.
      if (message.type === 'ping' && !isUp) return []
      if (child === null) open()
      if (message.type === 'jobs') {
        const inTurn = runInTurn(message.jobs, last)
        last = inTurn
        return inTurn
      }
      await whenUp()
      return askMainThread(message)
    },
    async memory() {
      const job = running
      if (child === null) throw new Error('no process')
      const { rssBytes, progress } = (await ask((seq) => sendToRelay({ type: 'measure', seq }))) as Measurement
      // Progress comes along, so that it needs no messages of its own.
      if (job !== null && running === job && progress !== null) {
        control.setProgress(job.slot, progress.fraction, progress.message)
      }
      return rssBytes
    },
    terminate() {
      if (child !== null) child.kill()
      else
        setImmediate(() => {
          options.onGone()
          options.onReady()
        })
    },
    // Never called: only `io` threads are given up.
    giveUp() {},
    async destroy() {
      isDestroyed = true
      clearTimeout(timer)
      if (child === null) return
      child.kill()
      await gone.promise
    },
    isStarted: () => child !== null || hasFailed,
  }
}
