/** Entry of a thread, with few imports: parses bodies one by one, and takes the inputs of their tasks out as text. */
import { parentPort } from 'node:worker_threads'
import { textOfJson } from '../../domain/json.ts'
import { type PackedBody, parseBody, type ParsedBody, tasksOf } from './parse-body.ts'

export interface BodyWork extends PackedBody {
  readonly maxBytes: number
}

export interface BodyReply {
  readonly parsed: ParsedBody
  /** By task, of the value's `tasks`; undefined where there is no input. */
  readonly inputs: readonly (string | undefined)[]
}

function takeInput(task: unknown): string | undefined {
  if (typeof task !== 'object' || task === null || !Object.hasOwn(task, 'input')) return undefined
  const text = textOfJson(Reflect.get(task, 'input'))
  Reflect.set(task, 'input', null)
  return text
}

const port = parentPort
if (port === null) throw new Error('bodies are parsed in a thread of its own')

port.on('message', ({ maxBytes, ...body }: BodyWork) => {
  const parsed = parseBody(body, maxBytes)
  const inputs = tasksOf(parsed).map(takeInput)
  port.postMessage({ parsed, inputs } satisfies BodyReply)
})
