/**
 * Parses large bodies one after another in a thread of its own, which starts with the first one and ends after a while
 * without any. Inputs of tasks come back as text and become values on the main thread only where a value is needed.
 */
import { Worker } from 'node:worker_threads'
import { AppError } from '../../domain/errors.ts'
import { RawJson } from '../../domain/json.ts'
import { canOpen, descriptorsToLoad } from '../../limits/process-limits.ts'
import type { BodyReply, BodyRequest } from './body-thread.ts'
import { type PackedBody, type ParsedBody, tasksOf } from './parse-body.ts'

export interface LargeBodyParser {
  /**
   * Rejects when the thread ends while it parses the body, for example because it runs out of memory.
   * @param maxBytes of the decompressed body
   * @throws AppError `overloaded` while too many bytes wait, `shutting-down` after `close`
   */
  parse(body: PackedBody, maxBytes: number): Promise<ParsedBody>
  /** Ends the thread and rejects the bodies that wait. */
  close(): void
}

interface WaitingBody {
  readonly request: BodyRequest
  readonly resolve: (parsed: ParsedBody) => void
  readonly reject: (error: Error) => void
}

/** The limit for all waiting bodies together, about a second of work. A single body may be larger. */
const maxWaitingBytes = 64 * 1_048_576
const idleMs = 10_000

export function createLargeBodyParser(): LargeBodyParser {
  /** The thread works on the first one. */
  let waiting: WaitingBody[] = []
  let waitingBytes = 0
  let worker: Worker | null = null
  let idleTimer: NodeJS.Timeout | undefined
  let isClosed = false

  function sendFirst(): void {
    clearTimeout(idleTimer)
    while (waiting[0] !== undefined) {
      try {
        worker ??= startThread()
        worker.postMessage(waiting[0].request)
        return
      } catch (error) {
        // The system has no thread left at the moment. It may have one for the next body.
        takeFirst()?.reject(new AppError('overloaded', 'no thread could be started for a large body', { cause: error }))
      }
    }
    idleTimer = setTimeout(stopThread, idleMs).unref()
  }

  function takeFirst(): WaitingBody | undefined {
    const first = waiting.shift()
    waitingBytes -= first?.request.bytes.length ?? 0
    return first
  }

  function startThread(): Worker {
    const entry = import.meta.url.endsWith('.ts') ? './body-thread.ts' : './body-thread.js'
    const started = new Worker(new URL(entry, import.meta.url), { execArgv: [], name: 'body' })
    started.unref()
    started.on('message', (reply: BodyReply) => {
      // The reply of a stopped thread comes too late: `close` has rejected its body.
      if (worker !== started) return
      takeFirst()?.resolve(withInputs(reply))
      sendFirst()
    })
    // 'exit' follows and reports it.
    started.on('error', () => {})
    started.once('exit', () => {
      // A stopped thread has ended as it should.
      if (worker !== started) return
      worker = null
      takeFirst()?.reject(
        canOpen(descriptorsToLoad)
          ? new Error('the thread that parses bodies ended while it parsed one')
          : new AppError('overloaded', 'no file descriptor was left for the thread that parses large bodies'),
      )
      sendFirst()
    })
    return started
  }

  function stopThread(): void {
    void worker?.terminate()
    worker = null
  }

  return {
    async parse(body, maxBytes) {
      if (isClosed) throw shuttingDown()
      if (waiting.length > 0 && waitingBytes + body.bytes.length > maxWaitingBytes) {
        throw new AppError('overloaded', `${waiting.length} large bodies wait to be parsed`)
      }
      const { promise, resolve, reject } = Promise.withResolvers<ParsedBody>()
      waiting.push({ request: { ...body, maxBytes }, resolve, reject })
      waitingBytes += body.bytes.length
      if (waiting.length === 1) sendFirst()
      return promise
    },
    close() {
      isClosed = true
      clearTimeout(idleTimer)
      stopThread()
      for (const { reject } of waiting) reject(shuttingDown())
      waiting = []
      waitingBytes = 0
    },
  }
}

/** Puts the inputs back as RawJson, a class whose instances cannot be sent between threads. */
function withInputs({ parsed, inputs }: BodyReply): ParsedBody {
  if (!parsed.ok) return parsed
  const tasks = tasksOf(parsed)
  for (const [index, text] of inputs.entries()) {
    if (text !== undefined) Reflect.set(Object(tasks[index]), 'input', new RawJson(text))
  }
  return parsed
}

function shuttingDown(): AppError {
  return new AppError('shutting-down', 'the service is not taking new runs')
}
