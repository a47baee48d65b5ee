/** One child process: how it is started, written to and killed, and how it ended. */
import { spawn, type ChildProcess } from 'node:child_process'
import { finished, type Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { deserialize } from 'node:v8'
import type { JobError } from '../../domain/job.ts'
import { passOnErrors } from '../../log.ts'
import {
  createFrameReader,
  encodeFrame,
  type FromChild,
  type Measurement,
  readFromChild,
  type receivers,
  relayDescriptor,
} from './pool-messages.ts'

export interface ChildOptions {
  /** V8's own limit, in MiB. */
  readonly maxHeapMb: number
  /** Command-line flags of Node. */
  readonly flags: readonly string[]
  readonly onMessage: (message: FromChild) => void
  readonly onMeasured: (measured: Measurement) => void
  /** Called once: the process has ended and its last message was read, or it could not be started. Not before `startChild` returns. */
  readonly onGone: (error: unknown) => void
}

/** How a process ended, as its job's error. */
export class ProcessEnd extends Error {
  readonly jobError: JobError

  constructor(jobError: JobError) {
    super(jobError.message)
    this.jobError = jobError
  }
}

const entry = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? './process-entry.ts' : './process-entry.js', import.meta.url),
)
/** How long to read after the exit at most. A process that the child has started can keep the pipes open. */
const readLimitMs = 200
/** How long a process that has closed its pipes may take to end by itself. */
const closedLimitMs = 500
const maxOutputLength = 4_096
/** V8 writes this before it ends the process. */
const heapLimitPattern = /heap out of memory|Reached heap limit/i

export type Child = ReturnType<typeof startChild>

export function startChild({ maxHeapMb, flags, onMessage, onMeasured, onGone }: ChildOptions) {
  let lastOutput = ''
  /** Why it was killed, if the reason was its own behaviour; else null. */
  let fault: string | null = null
  let isGone = false
  let child: ChildProcess | null = null

  try {
    child = spawn(process.execPath, [...flags, `--max-old-space-size=${maxHeapMb}`, entry], {
      stdio: ['ignore', 'inherit', 'pipe', 'pipe', 'pipe'],
      // A process group of its own: a terminal does not signal it with the service, and `kill` reaches what it has started.
      detached: true,
    })
    follow(child)
  } catch (error) {
    // The system has no free descriptor or process at the moment.
    setImmediate(end, error)
  }

  function follow(started: ChildProcess): void {
    started.once('error', end)
    // Without a descriptor for them there are no streams (Node 24), and only the error follows.
    const streams = started.stdio as (Duplex | null | undefined)[] | undefined
    const [, , stderr, relay, main] = streams ?? []
    started.once('exit', (code, signal) => {
      kill()
      const endNow = (): void => end(new ProcessEnd(describeEnd({ code, signal, fault, lastOutput })))
      // Its last messages are read first.
      if (main) finished(main, { writable: false }, () => setImmediate(endNow))
      setTimeout(endNow, readLimitMs).unref()
    })
    stderr?.on('error', () => {})
    stderr?.on('data', (chunk: Buffer) => {
      lastOutput = (lastOutput + chunk.toString()).slice(-maxOutputLength)
      passOnErrors(chunk)
    })
    readFrames(main, (body) => {
      const message = readFromChild(deserialize(body))
      if (message !== null) onMessage(message)
    })
    // Trusted without a check: the relay is of the same version.
    readFrames(relay, (body) => onMeasured(deserialize(body) as Measurement))
    // A process that ends closes them too: then its own exit code counts.
    const onClosed = (): void => void setTimeout(killFor, closedLimitMs, 'it closed what it reports through').unref()
    for (const stream of [relay, main]) stream?.on('error', () => {}).once('close', onClosed)
  }

  function killFor(reason: string): void {
    fault ??= reason
    kill()
  }

  function readFrames(stream: Duplex | null | undefined, onBody: (body: Buffer) => void): void {
    const read = createFrameReader((_receiver, body) => onBody(body))
    stream?.on('data', (chunk: Buffer) => {
      try {
        read(chunk)
      } catch {
        stream.destroy()
        killFor('it wrote to what only its own code reports through')
      }
    })
  }

  function end(error: unknown): void {
    if (isGone) return
    isGone = true
    for (const stream of child?.stdio ?? []) stream?.destroy()
    onGone(error)
  }

  /** Kills its process group, which also works when only processes that it has started are left. */
  function kill(): void {
    if (child?.pid === undefined || isGone) return
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // The group has ended.
    }
  }

  return {
    send(receiver: (typeof receivers)[keyof typeof receivers], message: unknown): void {
      const relay = child?.stdio[relayDescriptor] as Duplex | null | undefined
      if (relay?.writable === true) relay.write(encodeFrame(receiver, message))
    },
    kill,
  }
}

interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly fault: string | null
  readonly lastOutput: string
}

/** Its last output is in `stack`, which readers of the run do not see: it can name files. */
function describeEnd({ code, signal, fault, lastOutput }: End): JobError {
  const output = lastOutput.trim() === '' ? {} : { stack: lastOutput.trim() }
  if (signal === null) {
    return { code: 'crashed', message: `the process exited with code ${code}`, exitCode: code ?? 0, ...output }
  }
  if (fault !== null) return { code: 'crashed', message: `the process was ended: ${fault}`, ...output }
  if (signal !== 'SIGKILL' && heapLimitPattern.test(lastOutput)) {
    return { code: 'out_of_memory', message: 'the process reached its heap limit', ...output }
  }
  return { code: 'crashed', message: `the process was ended by ${signal}`, ...output }
}
