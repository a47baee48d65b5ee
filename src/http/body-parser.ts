/**
 * Parses bodies: small ones at once, large ones one after another in a thread of their own, which is started for them
 * and ended when none has come for a while. What a task's input says then never becomes a value on the main thread,
 * unless it is asked for.
 */
import { Worker } from 'node:worker_threads'
import { AppError } from '../domain/errors.ts'
import { JsonText } from '../domain/json-text.ts'
import type { BodyReply } from './body-thread.ts'
import { parseBody, tasksOf, type ParsedBody } from './parse-body.ts'

export interface BodyParser {
  /**
   * Rejects when the thread dies of the text, as it does when its memory is used up.
   * @throws AppError `overloaded` when too much waits already, `shutting-down` after `close`
   */
  parse(text: string): Promise<ParsedBody>
  /** Ends the thread; who still waits is sent away. */
  close(): void
}

interface Waiting {
  readonly text: string
  readonly resolve: (parsed: ParsedBody) => void
  readonly reject: (error: Error) => void
}

/** Characters; about two milliseconds of parsing and writing. */
const largeText = 131_072
/** Characters of all texts that wait, before another one is refused: about a second of work. */
const maxWaiting = 64 * 1_048_576
const idleMs = 10_000

export function createBodyParser(): BodyParser {
  /** The first is at the thread: a text that waits is held once. */
  let waiting: Waiting[] = []
  let waitingLength = 0
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
    worker ??= start()
    worker.postMessage(first.text)
  }

  function takeFirst(): Waiting | undefined {
    const first = waiting.shift()
    waitingLength -= first?.text.length ?? 0
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
    async parse(text) {
      if (text.length < largeText) return parseBody(text)
      if (isClosed) throw leaving()
      if (waiting.length > 0 && waitingLength + text.length > maxWaiting) {
        throw new AppError('overloaded', `${waiting.length} large bodies wait to be parsed`)
      }
      const { promise, resolve, reject } = Promise.withResolvers<ParsedBody>()
      waiting.push({ text, resolve, reject })
      waitingLength += text.length
      if (waiting.length === 1) sendFirst()
      return promise
    },
    close() {
      isClosed = true
      clearTimeout(idle)
      stop()
      for (const { reject } of waiting) reject(leaving())
      waiting = []
      waitingLength = 0
    },
  }
}

function leaving(): AppError {
  return new AppError('shutting-down', 'the service is not taking new runs')
}

function putInputs({ parsed, inputs }: BodyReply): void {
  const tasks = tasksOf(parsed)
  for (const [index, text] of inputs.entries()) {
    if (text !== undefined) Reflect.set(Object(tasks[index]), 'input', new JsonText(text))
  }
}
