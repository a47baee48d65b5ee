/**
 * All open streams of events: no more than are allowed, each in a place until its response is over, and one timer for
 * everything that is not a change.
 */
import type { ServerResponse } from 'node:http'
import { AppError } from '../domain/errors.ts'
import type { RunRecord } from '../domain/run.ts'
import { createTurnScheduler } from '../domain/turn-scheduler.ts'
import type { RunWatch, Snapshot } from '../feed/run-watch.ts'
import type { Log } from '../log.ts'
import { createEventStream, type EventStream, type StreamTiming } from './event-stream.ts'
import { createRunEvents } from './run-event.ts'
import { createProgressSampler, type SampleProgress } from './run-progress.ts'
import type { ProgressOf } from './views/job.ts'

export interface OpenedStream {
  /** As it will be told first. */
  readonly run: RunRecord
  /** Begins to write; the head of the response must be out. */
  start(): void
}

export interface EventStreams {
  /**
   * Takes a place until the response is over. Resolves to null when there is no such run.
   * @param prefix of the addresses in its events
   * @throws AppError `too-many-streams`, `shutting-down` or `store-unavailable`
   */
  open(runId: string, response: ServerResponse, prefix: string): Promise<OpenedStream | null>
  /** Opens no more, tells every stream how its run is now, and ends it; clients may take their time to read that. */
  close(): Promise<void>
  /** How many places are taken. */
  size(): number
}

export interface EventStreamsOptions {
  readonly runWatch: RunWatch
  readonly maxStreams: number
  readonly showsStacks: boolean
  readonly progressOf: ProgressOf
  readonly log: Log
  readonly timing?: Partial<Timing>
}

interface Timing extends StreamTiming {
  /** Between two looks at the progress of jobs. */
  readonly sampleMs: number
}

interface Place {
  readonly runId: string
  readonly stream: EventStream
  /** null: there is no such run. */
  readonly first: PromiseWithResolvers<RunRecord | null>
  leave(): void
}

const defaultTiming: Timing = { sampleMs: 250, commentMs: 15_000, stuckMs: 10_000 }
const placesPerTurn = 32

export function createEventStreams(options: EventStreamsOptions): EventStreams {
  const { runWatch, maxStreams, progressOf, log } = options
  const timing = { ...defaultTiming, ...options.timing }
  const writeEvent = createRunEvents(options)
  const places = new Set<Place>()
  const turns = createTurnScheduler(placesPerTurn)
  let ticker: NodeJS.Timeout | undefined
  let isClosed = false

  /** It is called by whatever changes a run: no error of showing it may reach there. */
  function eventOf(run: RunRecord, prefix: string): Buffer | null {
    try {
      return writeEvent(run, prefix)
    } catch (error) {
      log.error({ err: error, runId: run.id }, 'a run could not be shown to those who watch it')
      return null
    }
  }

  function takePlace(runId: string, response: ServerResponse, prefix: string): Place {
    const stream = createEventStream(response, (run) => eventOf(run, prefix), timing)
    const first = Promise.withResolvers<RunRecord | null>()
    function leave(): void {
      places.delete(place)
      response.off('close', leave)
      unwatch()
      // For who went away before the run was read.
      first.resolve(null)
      if (places.size === 0) clearInterval(ticker)
    }
    const place: Place = { runId, stream, first, leave }
    const unwatch = runWatch.watch(runId, (sight) => show(place, sight))
    response.once('close', leave)
    if (places.size === 0) ticker = setInterval(tick, timing.sampleMs).unref()
    places.add(place)
    return place
  }

  function tick(): void {
    const sample = createProgressSampler(progressOf)
    for (const place of places) turns.run(() => attend(place, sample))
  }

  function attend(place: Place, sample: SampleProgress): void {
    // For a client that went away before it had a place: its response was closed before, and does not say so again.
    if (places.has(place) && !place.stream.attend(sample)) place.leave()
  }

  /** The last changes may not have been told yet; and who watches later is shown a run later. */
  function endWithNewest({ runId, stream }: Place): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const unwatch = runWatch.watch(runId, () => {
      unwatch()
      stream.end()
      resolve()
    })
    return promise
  }

  return {
    async open(runId, response, prefix) {
      if (isClosed) throw new AppError('shutting-down', 'the service is leaving')
      if (places.size >= maxStreams) {
        throw new AppError('too-many-streams', `${places.size} event streams are open, and no more are allowed`)
      }
      const { first, stream } = takePlace(runId, response, prefix)
      const run = await first.promise
      return run === null ? null : { run, start: stream.start }
    },
    async close() {
      isClosed = true
      await Promise.all([...places].map(endWithNewest))
    },
    size: () => places.size,
  }
}

function show({ stream, first }: Place, sight: Snapshot): void {
  if (sight.kind === 'run') {
    stream.tellRun(sight.run)
    first.resolve(sight.run)
    return
  }
  if (sight.kind === 'gone') first.resolve(null)
  else first.reject(sight.error)
  stream.end()
}
