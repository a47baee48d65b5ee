/** A client of an event stream: `await using events = await openEvents(url)`. */
import type { RunView } from '../../src/http/views/run.ts'
import type { ProgressView } from '../../src/http/views/job.ts'
import { sharedContract } from '../http/contract.ts'
import { createEventParser, type StreamPart } from './event-parser.ts'

export type Told =
  | { readonly type: 'run'; readonly id: string; readonly run: RunView }
  | { readonly type: 'progress'; readonly progress: ProgressView }

export interface EventClient extends AsyncDisposable {
  readonly response: Response
  /** The next event of the run, skipping progress; rejects if the stream ends first. */
  nextRun(): Promise<RunView>
  /** The next event; null at the clean end of the stream. */
  next(): Promise<Told | null>
  /** Comments and retry fields so far. */
  readonly others: readonly StreamPart[]
  /** All events until the end. */
  rest(): Promise<Told[]>
}

const limitMs = 30_000

export async function openEvents(url: string, headers: Record<string, string> = {}): Promise<EventClient> {
  const leaving = new AbortController()
  // A silent stream must fail the test instead of blocking it.
  const signal = AbortSignal.any([leaving.signal, AbortSignal.timeout(limitMs)])
  const response = await fetch(url, { headers: { Accept: 'text/event-stream', ...headers }, signal })
  await sharedContract().check('GET', url, response)
  if (response.status !== 200 || response.body === null) {
    throw new Error(`no stream but ${response.status}: ${await response.text()}`)
  }
  const others: StreamPart[] = []
  const told = tellOf(response.body, others)

  async function next(): Promise<Told | null> {
    const { value, done } = await told.next()
    return done === true ? null : value
  }

  return {
    response,
    others,
    next,
    async nextRun() {
      for (let event = await next(); event !== null; event = await next()) if (event.type === 'run') return event.run
      throw new Error('the stream has ended')
    },
    async rest() {
      const events: Told[] = []
      for (let event = await next(); event !== null; event = await next()) events.push(event)
      return events
    },
    async [Symbol.asyncDispose]() {
      leaving.abort()
      await told.return(undefined).catch(() => {})
    },
  }
}

/** Accepts only events in the form of the contract. */
async function* tellOf(body: ReadableStream<Uint8Array>, others: StreamPart[]): AsyncGenerator<Told, undefined> {
  const parser = createEventParser()
  for await (const bytes of body) {
    for (const part of parser.push(bytes)) {
      if (part.kind === 'event') yield toldBy(part)
      else others.push(part)
    }
  }
  if (parser.rest() !== '') throw new Error(`the stream ends within an event: ${parser.rest()}`)
}

function toldBy({ type, id, data }: StreamPart & { kind: 'event' }): Told {
  if (type === 'run' && id !== null) return { type, id, run: parse(data, 'Run') as RunView }
  if (type === 'progress' && id === null) return { type, progress: parse(data, 'Progress') as ProgressView }
  throw new Error(`an event that is not of the contract: ${type} ${id} ${data}`)
}

function parse(data: string, schema: string): unknown {
  const value: unknown = JSON.parse(data)
  const issue = sharedContract().issuesOf(value, ['components', 'schemas', schema])
  if (issue !== null) throw new Error(`an event that is no ${schema}: ${issue}: ${data}`)
  return value
}
