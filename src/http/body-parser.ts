/**
 * Parses bodies: small ones at once, large ones in a thread of its own, which is started for them and ended when none
 * has come for a while. What a task's input says then never becomes a value on the main thread, unless it is asked for.
 */
import { Worker } from 'node:worker_threads'
import { JsonText } from '../domain/json-text.ts'
import type { BodyReply, BodyRequest } from './body-thread.ts'
import { parseBody, type ParsedBody } from './parse-body.ts'

/** Characters; about two milliseconds of parsing and writing. */
const largeText = 131_072
const idleMs = 10_000

/** Rejects when the thread dies of the text, as it does when its memory is used up. */
export type ParseBody = (text: string) => Promise<ParsedBody>

interface Pending extends BodyRequest {
  readonly resolve: (parsed: ParsedBody) => void
  readonly reject: (error: Error) => void
}

export function createBodyParser(): ParseBody {
  /** In the order in which the thread has them. */
  const pending = new Map<number, Pending>()
  let nextId = 0
  let worker: Worker | null = null
  let idle: NodeJS.Timeout | undefined

  function send({ id, text }: BodyRequest): void {
    clearTimeout(idle)
    worker ??= start()
    worker.postMessage({ id, text } satisfies BodyRequest)
  }

  function start(): Worker {
    const entry = import.meta.url.endsWith('.ts') ? './body-thread.ts' : './body-thread.js'
    const made = new Worker(new URL(entry, import.meta.url), { execArgv: [], name: 'body' })
    made.unref()
    made.on('message', onReply)
    // Its end follows.
    made.on('error', () => {})
    made.once('exit', () => {
      if (worker === made) onGone()
    })
    return made
  }

  function onReply({ id, parsed, inputs }: BodyReply): void {
    putInputs(parsed, inputs)
    pending.get(id)?.resolve(parsed)
    pending.delete(id)
    if (pending.size === 0) idle = setTimeout(stop, idleMs).unref()
  }

  function stop(): void {
    void worker?.terminate()
    worker = null
  }

  function onGone(): void {
    worker = null
    const [first, ...others] = pending.values()
    if (first === undefined) return
    pending.delete(first.id)
    first.reject(new Error('the thread that parses bodies died of one'))
    for (const other of others) send(other)
  }

  return async (text) => {
    if (text.length < largeText) return parseBody(text)
    const { promise, resolve, reject } = Promise.withResolvers<ParsedBody>()
    const id = nextId
    nextId += 1
    pending.set(id, { id, text, resolve, reject })
    send({ id, text })
    return promise
  }
}

function putInputs(parsed: ParsedBody, inputs: readonly (string | undefined)[]): void {
  const tasks: unknown = parsed.kind === 'value' ? Reflect.get(Object(parsed.value), 'tasks') : undefined
  if (!Array.isArray(tasks)) return
  for (const [index, text] of inputs.entries()) {
    if (text !== undefined) Reflect.set(Object(tasks[index]), 'input', new JsonText(text))
  }
}
