/**
 * Parses bodies: small ones at once, large ones one after another in a thread of their own, which is started for them
 * and ended when none has come for a while. What a task's input says then never becomes a value on the main thread,
 * unless it is asked for.
 */
import { Worker } from 'node:worker_threads'
import { AppError } from '../../domain/errors.ts'
import { maxJsonDepth, RawJson } from '../../domain/json.ts'
import type { BodyReply, BodyWork } from './body-thread.ts'
import { type PackedBody, parseBody, type ParsedBody, tasksOf } from './parse-body.ts'

export interface BodyParser {
  /**
   * Rejects when the thread dies of the body, as it does when its memory is used up.
   * @param maxBytes of the body when it is unpacked
   * @throws AppError `overloaded` when too much waits already, `shutting-down` after `close`
   */
  parse(body: PackedBody, maxBytes: number): Promise<ParsedBody>
  /** Ends the thread; bodies that wait are refused. */
  close(): void
}

interface Waiting {
  readonly work: BodyWork
  readonly resolve: (parsed: ParsedBody) => void
  readonly reject: (error: Error) => void
}

/** Bytes; about two milliseconds of parsing and writing. */
const largeBody = 131_072
/** Bytes of all bodies that wait, before another one is refused: about a second of work. */
const maxWaiting = 64 * 1_048_576
const idleMs = 10_000

export function createBodyParser(): BodyParser {
  /** The first is at the thread. */
  let waiting: Waiting[] = []
  let waitingBytes = 0
  let worker: Worker | null = null
  let idle: NodeJS.Timeout | undefined
  let isClosed = false

  function sendFirst(): void {
    const [first] = waiting
    clearTimeout(idle)
    if (first === undefined) {
      idle = setTimeout(stop, idleMs).unref()
      return
    }
    try {
      worker ??= start()
      worker.postMessage(first.work)
    } catch (error) {
      // The system has no thread left, for now.
      takeFirst()?.reject(new AppError('overloaded', 'no thread could be started for a large body', { cause: error }))
      sendFirst()
    }
  }

  function takeFirst(): Waiting | undefined {
    const first = waiting.shift()
    waitingBytes -= first?.work.bytes.length ?? 0
    return first
  }

  function start(): Worker {
    const entry = import.meta.url.endsWith('.ts') ? './body-thread.ts' : './body-thread.js'
    const made = new Worker(new URL(entry, import.meta.url), { execArgv: [], name: 'body' })
    made.unref()
    // It comes from our own thread, which is of the same version.
    made.on('message', (reply: BodyReply) => {
      if (worker !== made) return
      putInputs(reply)
      takeFirst()?.resolve(reply.parsed)
      sendFirst()
    })
    // Its end follows.
    made.on('error', () => {})
    made.once('exit', () => {
      if (worker !== made) return
      worker = null
      takeFirst()?.reject(new Error('the thread that parses bodies died of one'))
      sendFirst()
    })
    return made
  }

  function stop(): void {
    void worker?.terminate()
    worker = null
  }

  return {
    async parse(body, maxBytes) {
      if (body.bytes.length < largeBody) {
        const parsed = parseBody(body, Math.min(maxBytes, largeBody))
        // Packed, a small one can be a large one.
        if (parsed.kind !== 'too-large' || maxBytes <= largeBody) return parsed
      }
      if (isClosed) throw leaving()
      if (waiting.length > 0 && waitingBytes + body.bytes.length > maxWaiting) {
        throw new AppError('overloaded', `${waiting.length} large bodies wait to be parsed`)
      }
      const { promise, resolve, reject } = Promise.withResolvers<ParsedBody>()
      waiting.push({ work: { ...body, maxBytes }, resolve, reject })
      waitingBytes += body.bytes.length
      if (waiting.length === 1) sendFirst()
      return promise
    },
    close() {
      isClosed = true
      clearTimeout(idle)
      stop()
      for (const { reject } of waiting) reject(leaving())
      waiting = []
      waitingBytes = 0
    },
  }
}

function leaving(): AppError {
  return new AppError('shutting-down', 'the service is not taking new runs')
}

function putInputs({ parsed, inputs }: BodyReply): void {
  const tasks = tasksOf(parsed)
  for (const [index, text] of inputs.entries()) {
    if (text !== undefined) Reflect.set(Object(tasks[index]), 'input', new RawJson(text))
  }
}

/** @throws AppError where it is not what it says, or says nothing that could be read */
export function valueOf(parsed: ParsedBody, maxBytes: number): unknown {
  switch (parsed.kind) {
    case 'value':
      return parsed.value
    case 'too-deep':
      throw tooDeep()
    case 'too-large':
      throw tooLarge(maxBytes)
    case 'lossy': {
      const [first] = parsed.issues
      const detail = `${first?.pointer}: ${first?.detail}`
      throw new AppError('validation-error', detail, { members: { errors: parsed.issues } })
    }
    case 'malformed':
      throw new AppError('malformed-json', `the body could not be read as JSON: ${parsed.reason}`)
  }
}

export function tooLarge(maxBytes: number): AppError {
  return new AppError('content-too-large', `the body is larger than ${maxBytes} bytes`)
}

export function tooDeep(): AppError {
  const detail = `the body is nested more than ${maxJsonDepth} levels deep`
  return new AppError('validation-error', detail, {
    members: { errors: [{ pointer: '', detail: `at most ${maxJsonDepth} levels of nesting` }] },
  })
}
