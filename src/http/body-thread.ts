/** Parses bodies beside the main thread, and takes the inputs of their tasks out of them as text. */
import { parentPort } from 'node:worker_threads'
import { parseBody, type ParsedBody } from './parse-body.ts'

export interface BodyRequest {
  readonly id: number
  readonly text: string
}

export interface BodyReply {
  readonly id: number
  readonly parsed: ParsedBody
  /** By task, of the value's `tasks`; undefined where there is no input. */
  readonly inputs: readonly (string | undefined)[]
}

function takeInputs(parsed: ParsedBody): (string | undefined)[] {
  const tasks: unknown = parsed.kind === 'value' ? Reflect.get(Object(parsed.value), 'tasks') : undefined
  if (!Array.isArray(tasks)) return []
  return tasks.map((task: unknown) => {
    if (typeof task !== 'object' || task === null || !Object.hasOwn(task, 'input')) return undefined
    const text = JSON.stringify(Reflect.get(task, 'input'))
    Reflect.set(task, 'input', null)
    return text
  })
}

const port = parentPort
if (port === null) throw new Error('bodies are parsed in a thread of its own')

port.on('message', ({ id, text }: BodyRequest) => {
  const parsed = parseBody(text)
  const reply: BodyReply = { id, inputs: takeInputs(parsed), parsed }
  port.postMessage(reply)
})
