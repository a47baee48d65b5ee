/** Entry of the thread that parses large bodies. It sends the inputs of tasks back as text. */
import { parentPort } from 'node:worker_threads'
import { textOfJson } from '../../domain/json.ts'
import { type PackedBody, parseBody, type ParsedBody, tasksOf } from './parse-body.ts'

export interface BodyRequest extends PackedBody {
  readonly maxBytes: number
}

export interface BodyReply {
  /** Without the inputs of tasks. */
  readonly parsed: ParsedBody
  /** One per task, in the order of `tasksOf`; undefined for a task without an input. */
  readonly inputs: readonly (string | undefined)[]
}

function takeInput(task: unknown): string | undefined {
  if (typeof task !== 'object' || task === null || !Object.hasOwn(task, 'input')) return undefined
  const text = textOfJson(Reflect.get(task, 'input'))
  Reflect.set(task, 'input', null)
  return text
}

const port = parentPort
if (port === null) throw new Error('this file is the entry of a worker thread')

port.on('message', ({ maxBytes, ...body }: BodyRequest) => {
  const parsed = parseBody(body, maxBytes)
  const inputs = parsed.ok ? tasksOf(parsed).map(takeInput) : []
  port.postMessage({ parsed, inputs } satisfies BodyReply)
})
