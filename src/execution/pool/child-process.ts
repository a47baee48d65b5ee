/** One child process: started, written to, killed, and how it ended. */
import { spawn, type ChildProcess } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { deserialize } from 'node:v8'
import type { JobError } from '../../domain/job.ts'
import { passOnErrors } from '../../log.ts'
import {
  createFrameReader,
  encodeFrame,
  type receivers,
  readFromChild,
  relayFile,
  type FromChild,
  type LookReply,
} from './pool-messages.ts'

export interface ChildOptions {
  /** V8's own limit, in MiB. */
  readonly maxHeapMb: number
  /** Command-line flags of Node. */
  readonly flags: readonly string[]
  readonly onMessage: (message: FromChild) => void
  readonly onLook: (reply: LookReply) => void
  /** It is gone, and all that it has said was heard, or it could not be started; called once, and not before `startChild` returns. */
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
/** Something that the child has started can keep its files open. */
const hearLimitMs = 200
/** How long one that can no longer report may take to end by itself. */
const closedLimitMs = 500
const maxLastWords = 4_096
/** What V8 writes before it ends the process. */
const heapLimitPattern = /heap out of memory|Reached heap limit/i

export type Child = ReturnType<typeof startChild>

export function startChild({ maxHeapMb, flags, onMessage, onLook, onGone }: ChildOptions) {
  let lastWords = ''
  /** Why it was killed, where that was its own doing. */
  let fault: string | null = null
  let isGone = false
  let child: ChildProcess | null = null

  try {
    child = spawn(process.execPath, [...flags, `--max-old-space-size=${maxHeapMb}`, entry], {
      stdio: ['ignore', 'inherit', 'pipe', 'pipe', 'pipe'],
      // A group of its own: a terminal does not signal it with the service, and it is killed with what it has started.
      detached: true,
    })
    follow(child)
  } catch (error) {
    // The system has no descriptor or no process left, for now.
    setImmediate(end, error)
  }

  function follow(made: ChildProcess): void {
    const [, , stderr, relay, tasks] = made.stdio as (Duplex | null | undefined)[]
    made.once('error', end)
    made.once('exit', (code, signal) => {
      kill()
      const over = (): void => end(new ProcessEnd(describeEnd(code, signal, fault, lastWords)))
      if (tasks === undefined || tasks === null || tasks.readableEnded || tasks.destroyed) setImmediate(over)
      else for (const event of ['end', 'close']) tasks.once(event, () => setImmediate(over))
      setTimeout(over, hearLimitMs).unref()
    })
    stderr?.on('data', (chunk: Buffer) => {
      lastWords = (lastWords + chunk.toString()).slice(-maxLastWords)
      passOnErrors(chunk)
    })
    hear(tasks, (body) => {
      const message = readFromChild(deserialize(body))
      if (message !== null) onMessage(message)
    })
    // From the relay, which is of the same version.
    hear(relay, (body) => onLook(deserialize(body) as LookReply))
    stderr?.on('error', () => {})
    // It closes them when it ends, too, and then its own code is what counts.
    const onClosed = (): void => void setTimeout(condemn, closedLimitMs, 'it closed what it reports through').unref()
    for (const stream of [relay, tasks]) stream?.on('error', () => {}).once('close', onClosed)
  }

  function condemn(reason: string): void {
    fault ??= reason
    kill()
  }

  function hear(stream: Duplex | null | undefined, onBody: (body: Buffer) => void): void {
    const read = createFrameReader((_receiver, body) => onBody(body))
    stream?.on('data', (chunk: Buffer) => {
      try {
        read(chunk)
      } catch {
        stream.destroy()
        condemn('it wrote to what only its own code reports through')
      }
    })
  }

  function end(error: unknown): void {
    if (isGone) return
    isGone = true
    for (const stream of child?.stdio ?? []) stream?.destroy()
    onGone(error)
  }

  /** And all that it has started; again after its end, when only those are left. */
  function kill(): void {
    if (child?.pid === undefined || isGone) return
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // Gone already.
    }
  }

  return {
    pid: child?.pid,
    send(receiver: (typeof receivers)[keyof typeof receivers], message: unknown): void {
      const relay = child?.stdio[relayFile] as Duplex | null | undefined
      if (relay?.writable === true) relay.write(encodeFrame(receiver, message))
    },
    kill,
  }
}

/** Its last words stand where stacks are: they can name files. */
function describeEnd(
  code: number | null,
  signal: NodeJS.Signals | null,
  fault: string | null,
  lastWords: string,
): JobError {
  const words = lastWords.trim() === '' ? {} : { stack: lastWords.trim() }
  if (signal === null) {
    return { code: 'crashed', message: `the process exited with code ${code}`, exitCode: code ?? 0, ...words }
  }
  if (fault !== null) return { code: 'crashed', message: `the process was ended: ${fault}`, ...words }
  if (signal !== 'SIGKILL' && heapLimitPattern.test(lastWords)) {
    return { code: 'out_of_memory', message: 'the process reached its heap limit', ...words }
  }
  return { code: 'crashed', message: `the process was ended by ${signal}`, ...words }
}
