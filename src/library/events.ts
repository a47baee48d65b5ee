/** Every committed change of every run, for the process that contains the service: as an emitter, and as an iterator. */
import { EventEmitter } from 'node:events'
import type { RunChange, RunState } from '../domain/run.ts'
import type { Log } from '../log.ts'

/** A change of a run; `getRun` has the whole run. */
export interface RunEvent {
  readonly id: string
  readonly state: RunState
  /** Grows with every change of the run: of two events of a run, the one with the higher version is newer. */
  readonly version: number
  readonly isAnswered: boolean
}

/** `change` is emitted for every event; the others only at the end of a run, again if it ends again after a retry. */
export interface RunEventMap {
  change: [event: RunEvent]
  completed: [event: RunEvent]
  failed: [event: RunEvent]
  cancelled: [event: RunEvent]
}

/** A loop over it gets the events since the loop began, and ends when the service has stopped. */
export type RunEvents = EventEmitter<RunEventMap> & AsyncIterable<RunEvent>

export interface RunEventSource {
  readonly events: RunEvents
  publish(change: RunChange, log: Log): void
  /** Ends all loops, including those that begin later. */
  end(): void
}

/** Runs with an event that a loop has not taken; only the newest event of each is kept. */
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
          // A failing listener must affect neither the other listeners nor the service.
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

function createLoop(onEnd: () => void): Loop {
  const pending = new Map<string, RunEvent>()
  let isOver = false
  let failure: Error | null = null
  let { promise: changed, resolve: notify } = Promise.withResolvers<void>()

  function end(): void {
    isOver = true
    onEnd()
    notify()
  }

  async function next(): Promise<IteratorResult<RunEvent>> {
    for (;;) {
      const [event] = pending.values()
      if (event !== undefined) {
        pending.delete(event.id)
        return { done: false, value: event }
      }
      if (failure !== null) {
        const error = failure
        failure = null
        throw error
      }
      if (isOver) return { done: true, value: undefined }
      await changed
      ;({ promise: changed, resolve: notify } = Promise.withResolvers<void>())
    }
  }

  return {
    push(event) {
      // A new event moves its run to the end, so that one run with many changes does not keep the others waiting.
      pending.delete(event.id)
      pending.set(event.id, event)
      if (pending.size <= maxBehind) return notify()
      pending.clear()
      failure = new Error(`a loop over the events is more than ${maxBehind} runs behind`)
      end()
    },
    end,
    iterator: {
      next,
      async return() {
        pending.clear()
        end()
        return { done: true, value: undefined }
      },
    },
  }
}
