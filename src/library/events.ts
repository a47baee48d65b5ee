/** Every committed change of every run, for the process that the service runs in: as an emitter, and as an iterator. */
import { EventEmitter } from 'node:events'
import type { RunChange, RunState } from '../domain/run.ts'
import type { Log } from '../log.ts'

/** What has become of a run; `getRun` has the rest of it. */
export interface RunEvent {
  readonly id: string
  readonly state: RunState
  /** Grows with every change of the run: of two events of a run, the one with the higher version is newer. */
  readonly version: number
  readonly isAnswered: boolean
}

/** `change` comes with every event; the others also with the end of a run, which comes again where a job is retried. */
export interface RunEventMap {
  change: [event: RunEvent]
  completed: [event: RunEvent]
  failed: [event: RunEvent]
  cancelled: [event: RunEvent]
}

/** A loop over it takes what comes from its beginning on, and ends when the service has stopped. */
export type RunEvents = EventEmitter<RunEventMap> & AsyncIterable<RunEvent>

export interface RunEventSource {
  readonly events: RunEvents
  publish(change: RunChange, log: Log): void
  /** Ends all loops, and every one that is begun later. */
  end(): void
}

/** Runs with news that a loop has not taken; of each only its newest event is kept. */
const maxBehind = 100_000

export function createRunEvents(): RunEventSource {
  const emitter = new EventEmitter<RunEventMap>()
  const loops = new Set<Loop>()
  let hasEnded = false

  const iterate = (): AsyncIterator<RunEvent> => {
    const loop = createLoop(() => loops.delete(loop))
    loops.add(loop)
    if (hasEnded) loop.end()
    return loop.iterator
  }

  return {
    events: Object.assign(emitter, { [Symbol.asyncIterator]: iterate }),
    publish({ runId, state, version, isAnswered }, log) {
      const event = { id: runId, state, version, isAnswered }
      for (const loop of loops) loop.push(event)
      for (const name of state === 'running' ? (['change'] as const) : (['change', state] as const)) {
        try {
          emitter.emit(name, event)
        } catch (error) {
          // What a listener does must not keep others, or the service itself, from hearing of the change.
          log.error({ err: error }, `a listener of "${name}" has thrown`)
        }
      }
    },
    end() {
      hasEnded = true
      for (const loop of loops) loop.end()
    },
  }
}

interface Loop {
  push(event: RunEvent): void
  end(): void
  readonly iterator: AsyncIterator<RunEvent>
}

function createLoop(onDone: () => void): Loop {
  const news = new Map<string, RunEvent>()
  let isOver = false
  let failure: Error | null = null
  let { promise: more, resolve: tell } = Promise.withResolvers<void>()

  function finish(): void {
    isOver = true
    onDone()
    tell()
  }

  async function next(): Promise<IteratorResult<RunEvent>> {
    for (;;) {
      const [event] = news.values()
      if (event !== undefined) {
        news.delete(event.id)
        return { done: false, value: event }
      }
      if (failure !== null) {
        const error = failure
        failure = null
        throw error
      }
      if (isOver) return { done: true, value: undefined }
      await more
      ;({ promise: more, resolve: tell } = Promise.withResolvers<void>())
    }
  }

  return {
    push(event) {
      // To the end of the line, so that no run is passed over for the news of others.
      news.delete(event.id)
      news.set(event.id, event)
      if (news.size > maxBehind) {
        news.clear()
        failure = new Error(`a loop over the events is more than ${maxBehind} runs behind`)
        finish()
      } else tell()
    },
    end: finish,
    iterator: {
      next,
      async return() {
        news.clear()
        finish()
        return { done: true, value: undefined }
      },
    },
  }
}
