/**
 * A place for a child process in the pool, in the form of a worker host. The process is started with its first job; one
 * that has run a job is followed by another as soon as it is gone. It shares no memory with the service: its messages
 * say what a thread would write to the control block, and it is written here.
 */
import {
  type JobMessage,
  type JobReply,
  type ToThread,
  receivers,
  type FromChild,
  type LookReply,
  type RelayMessage,
  type TasksMessage,
} from './pool-messages.ts'
import type { ControlBlock } from './control-block.ts'
import type { WorkerHost, WorkerHostOptions } from './worker-host.ts'
import { startChild, type Child } from './child-process.ts'

export interface ProcessHostOptions extends Pick<
  WorkerHostOptions,
  'maxHeapMb' | 'flags' | 'onReady' | 'onGone' | 'onError' | 'onMessage'
> {
  readonly control: ControlBlock
  /** How long a process may take to start, in milliseconds. */
  readonly startLimitMs: number
}

/** How long to wait before a process that failed to start is tried again. */
const reopenAfterMs = 1_000

const nothingBefore: Promise<unknown> = Promise.resolve()

type Asked = Omit<PromiseWithResolvers<unknown>, 'promise'>

export function createProcessHost(options: ProcessHostOptions): WorkerHost {
  const { control, startLimitMs, maxHeapMb, flags } = options
  let child: Child | null = null
  let isUp = false
  let hasWorked = false
  /** Whether the last start failed: it takes no jobs until one has not. */
  let hasFailed = false
  let isDestroyed = false
  let timer: NodeJS.Timeout | undefined
  let running: JobMessage | null = null
  let last: Promise<unknown> = nothingBefore
  let nextSeq = 0
  const asked = new Map<number, Asked>()
  const untilUp: Asked[] = []
  const gone = Promise.withResolvers<void>()

  function open(): void {
    isUp = false
    hasWorked = false
    child = startChild({ maxHeapMb, flags, onMessage, onLook, onGone })
    timer = setTimeout(child.kill, startLimitMs)
  }

  function onMessage(message: FromChild): void {
    if (message.type === 'hello') onHello()
    else if (message.type === 'reply') answer(message.seq, message.reply)
    else if (message.type === 'log' || message.type === 'step' || message.type === 'replies') options.onMessage(message)
    else if (running === null) return
    else if (message.type === 'exit') control.setExit(running.slot, message.code)
    else {
      control.setStartBytes(running.slot, message.startBytes)
      control.run(running.slot)
    }
  }

  function onHello(): void {
    clearTimeout(timer)
    isUp = true
    for (const { resolve } of untilUp.splice(0)) resolve(null)
    if (!hasFailed) return
    hasFailed = false
    options.onReady()
  }

  function onLook({ seq, ...reply }: LookReply): void {
    answer(seq, reply)
  }

  function answer(seq: number, value: unknown): void {
    asked.get(seq)?.resolve(value)
    asked.delete(seq)
  }

  function onGone(error: unknown): void {
    clearTimeout(timer)
    const wasUp = isUp
    child = null
    isUp = false
    if (isDestroyed) gone.resolve()
    else if (!hasFailed) options.onGone()
    for (const { reject } of [...untilUp.splice(0), ...asked.values()]) reject(error)
    asked.clear()
    last = nothingBefore
    // Ends the wait for the slot's commands.
    if (running !== null) control.finish(running.slot)
    running = null
    if (isDestroyed) return
    if (wasUp) {
      // Not before the attempts have ended: their slots are used again from then on.
      setImmediate(goOn)
      return
    }
    hasFailed = true
    options.onError(error)
    timer = setTimeout(open, reopenAfterMs)
  }

  function goOn(): void {
    if (isDestroyed) return
    // After a process that ended without having run a job, the next one waits for a job.
    if (hasWorked && child === null) open()
    options.onReady()
  }

  function ask(send: (seq: number) => void): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    nextSeq += 1
    asked.set(nextSeq, { resolve, reject })
    send(nextSeq)
    return promise
  }

  function sendToRelay(message: RelayMessage): void {
    child?.send(receivers.relay, message)
  }

  function askTasks(message: ToThread): Promise<unknown> {
    return ask((seq) => child?.send(receivers.tasks, { seq, message } satisfies TasksMessage))
  }

  /** Resolves when there is a process that replies; rejects when it does not get there. */
  async function whenUp(): Promise<void> {
    if (isUp) return
    await new Promise((resolve, reject) => untilUp.push({ resolve, reject }))
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
    if (!control.take(job.slot)) {
      return [{ id: job.id, outcome: 'released', taint: null, isUnsafe: false, tookMs: 0 }]
    }
    running = job
    hasWorked = true
    sendToRelay({ type: 'next' })
    void passStop(job)
    const replies = await askTasks({ type: 'jobs', jobs: [{ ...job, slot: 0 }] })
    running = null
    control.end(job.slot)
    control.finish(job.slot)
    // They come from the child's entry, which is of the same version.
    return replies as readonly JobReply[]
  }

  async function passStop(job: JobMessage): Promise<void> {
    await control.stopped(job.slot)
    if (running === job && control.isStopped(job.slot)) sendToRelay({ type: 'stop' })
  }

  return {
    async start() {},
    async send(message) {
      if (isDestroyed || hasFailed) throw new Error('no process')
      // One that starts has its own limit.
      if (message.type === 'ping' && !isUp) return []
      if (child === null) open()
      if (message.type === 'jobs') {
        const inTurn = runInTurn(message.jobs, last)
        last = inTurn
        return inTurn
      }
      await whenUp()
      return askTasks(message)
    },
    async memory() {
      const job = running
      if (child === null) throw new Error('no process')
      const { rssBytes, progress } = (await ask((seq) => sendToRelay({ type: 'look', seq }))) as Omit<LookReply, 'seq'>
      // Seen on the way: progress needs no messages of its own.
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
    giveUp() {},
    async destroy() {
      isDestroyed = true
      clearTimeout(timer)
      if (child === null) return
      child.kill()
      await gone.promise
    },
    isCold: () => child === null && !hasFailed,
  }
}
