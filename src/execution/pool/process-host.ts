/**
 * The host of one child process, in the form of a worker host. The first job starts the process; a process that has run a
 * job is replaced as soon as it has ended. It shares no memory with the service: what a thread would write to the control
 * block arrives in messages and is written here.
 */
import type { ControlBlock } from './control-block.ts'
import { startChild } from './child-process.ts'
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

type HostState =
  /** There is no process; the next message starts one. */
  | { readonly name: 'none' }
  /** The process is there, or is being started for the first time. */
  | { readonly name: 'live'; readonly child: HostedChild }
  /** The last process could not be started; no messages are taken. */
  | { readonly name: 'failed'; readonly retryTimer: NodeJS.Timeout }
  /** A process is being started after a failure; no messages are taken. */
  | { readonly name: 'retrying'; readonly child: HostedChild }
  /** `child` is null once it has ended. */
  | { readonly name: 'destroyed'; readonly child: HostedChild | null }

export function createProcessHost(options: ProcessHostOptions): WorkerHost {
  let state: HostState = { name: 'none' }

  function open(name: 'live' | 'retrying'): HostedChild {
    const child = startHostedChild(options, { onUp, onEnd })
    state = { name, child }
    return child
  }

  function onUp(): void {
    if (state.name !== 'retrying') return
    state = { name: 'live', child: state.child }
    options.onReady()
  }

  function onEnd({ isUp, hasWorked }: ChildHistory, error: unknown): void {
    if (state.name === 'destroyed') {
      state = { name: 'destroyed', child: null }
      return
    }
    if (state.name === 'live') options.onGone()
    if (isUp) {
      state = { name: 'none' }
      // Not before the attempts have ended, because then their slots are used again.
      setImmediate(goOn, hasWorked)
    } else {
      state = { name: 'failed', retryTimer: setTimeout(open, reopenAfterMs, 'retrying') }
      options.onError(error)
    }
  }

  function goOn(hasWorked: boolean): void {
    if (state.name === 'destroyed') return
    // After a process that ran no job, the next one is started by its first job.
    if (hasWorked && state.name === 'none') open('live')
    options.onReady()
  }

  function currentChild(): HostedChild | null {
    return 'child' in state ? state.child : null
  }

  return {
    async start() {},
    async send(message) {
      if (state.name !== 'none' && state.name !== 'live') throw new Error('no process')
      // The start has a limit of its own.
      if (message.type === 'ping' && currentChild()?.history.isUp !== true) return []
      const child = currentChild() ?? open('live')
      return message.type === 'jobs' ? child.runJobs(message.jobs) : child.send(message)
    },
    async memory() {
      const child = currentChild()
      if (child === null) throw new Error('no process')
      return child.measure()
    },
    terminate() {
      const child = currentChild()
      if (child !== null) return child.kill()
      setImmediate(() => {
        options.onGone()
        options.onReady()
      })
    },
    // Never called: only `io` threads are given up.
    giveUp() {},
    async destroy() {
      if (state.name === 'failed') clearTimeout(state.retryTimer)
      const child = currentChild()
      state = { name: 'destroyed', child }
      child?.kill()
      await child?.ended
    },
    isStarted: () => currentChild() !== null || state.name === 'failed',
  }
}

interface ChildListeners {
  /** The process has started. */
  readonly onUp: () => void
  /** The process has ended, or could not be started. Its calls are rejected right after this. */
  readonly onEnd: (history: ChildHistory, error: unknown) => void
}

/** `isUp`: its start has succeeded; `hasWorked`: it was sent a job. */
type ChildHistory = Readonly<Record<'isUp' | 'hasWorked', boolean>>

type HostedChild = ReturnType<typeof startHostedChild>

/** One child process from its start to its end, with its calls and its jobs, which run one after another. */
function startHostedChild(options: ProcessHostOptions, { onUp, onEnd }: ChildListeners) {
  const { control, startLimitMs, maxHeapMb, flags } = options
  const onMeasured = (measured: Measurement): void => calls.deliver(measured.seq, measured)
  const child = startChild({ maxHeapMb, flags, onMessage, onMeasured, onGone })
  const startTimer = setTimeout(child.kill, startLimitMs)
  const calls = createCalls()
  const history = { isUp: false, hasWorked: false }
  const started = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  let running: JobMessage | null = null
  /** The end of the last job that was sent; jobs that are sent meanwhile wait for it. */
  let lastJobs: Promise<unknown> = started.promise
  // Often nothing waits for the start.
  started.promise.catch(() => {})

  function onMessage(message: FromChild): void {
    if (message.type === 'hello') onHello()
    else if (message.type === 'reply') calls.deliver(message.seq, message.reply)
    else if (message.type === 'log' || message.type === 'step' || message.type === 'replies') options.onMessage(message)
    else if (running === null) return
    else if (message.type === 'exit') control.noteExit(running.slot, message.by)
    else {
      control.setStartBytes(running.slot, message.startBytes)
      control.setRunning(running.slot)
    }
  }

  function onHello(): void {
    clearTimeout(startTimer)
    history.isUp = true
    started.resolve()
    onUp()
  }

  function onGone(error: unknown): void {
    clearTimeout(startTimer)
    onEnd(history, error)
    started.reject(error)
    calls.rejectAll(error)
    if (running !== null) control.endWait(running.slot)
    running = null
    ended.resolve()
  }

  function sendToRelay(message: RelayMessage): void {
    child.send(receivers.relay, message)
  }

  function askMainThread(message: ToThread): Promise<unknown> {
    return calls.ask((seq) => child.send(receivers.main, { seq, message } satisfies MainMessage))
  }

  async function runAfter(before: Promise<unknown>, jobs: readonly JobMessage[]): Promise<JobReply[]> {
    await before
    for (const job of jobs) {
      const replies = await runJob(job)
      if (replies.length > 0) options.onMessage({ type: 'replies', replies })
    }
    return []
  }

  async function runJob(job: JobMessage): Promise<readonly JobReply[]> {
    if (!control.take(job.slot)) return [unspentReply(job.id)]
    running = job
    history.hasWorked = true
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
    history: history as ChildHistory,
    /** Resolves when the process has ended. */
    ended: ended.promise,
    kill: child.kill,
    /** Runs the jobs after those that were sent before; rejects when the process ends. */
    runJobs(jobs: readonly JobMessage[]): Promise<JobReply[]> {
      const done = runAfter(lastJobs, jobs)
      lastJobs = done
      return done
    },
    async send(message: ToThread): Promise<unknown> {
      await started.promise
      return askMainThread(message)
    },
    /** @returns the memory of the process in bytes */
    async measure(): Promise<number> {
      const job = running
      const { rssBytes, progress } = (await calls.ask((seq) => sendToRelay({ type: 'measure', seq }))) as Measurement
      // Progress comes along, so that it needs no messages of its own.
      if (job !== null && running === job && progress !== null) {
        control.setProgress(job.slot, progress.fraction, progress.message)
      }
      return rssBytes
    },
  }
}

/** Messages that wait for their reply. */
function createCalls() {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let nextSeq = 0
  return {
    ask(send: (seq: number) => void): Promise<unknown> {
      const call = Promise.withResolvers<unknown>()
      nextSeq += 1
      waiting.set(nextSeq, call)
      send(nextSeq)
      return call.promise
    },
    deliver(seq: number, reply: unknown): void {
      waiting.get(seq)?.resolve(reply)
      waiting.delete(seq)
    },
    rejectAll(error: unknown): void {
      for (const { reject } of waiting.values()) reject(error)
      waiting.clear()
    },
  }
}
