/**
 * All open streams of events: no more than are allowed, each in a place until its response is over, and one timer for
 * everything that is not a change. An event is serialised once for all streams that send it.
 */
import type { ServerResponse } from 'node:http'
import type { RunRecord } from '../../domain/run.ts'
import { createTurnScheduler } from '../../runtime/event-loop.ts'
import type { RunWatch, Snapshot } from '../../feed/feed.ts'
import type { Log } from '../../log.ts'
import type { ProgressOf, ProgressView } from '../views/job.ts'
import { eventText } from '../views/run.ts'
import { withoutSecrets } from '../permissions.ts'
import {
  createEventStream,
  type EventStream,
  type ProgressEvent,
  type StreamRoom,
  streamTiming,
  type StreamTiming,
} from './event-stream.ts'

export interface RunStreams {
  /**
   * Takes a place until the response is over. Resolves to null when there is no such run, else to the run as it will be
   * shown first, and a function that begins to write when the head of the response is out.
   * @throws AppError `too-many-streams`, `shutting-down` or `store-unavailable`
   */
  open(runId: string, response: ServerResponse, form: EventForm): Promise<OpenedStream | null>
  /** Opens no more, shows every stream how its run is now, and ends it; clients may take their time to read that. */
  close(): Promise<void>
}

/** What differs between events of the same run. */
export interface EventForm {
  /** Of the addresses in them. */
  readonly prefix: string
  /** Whether what tasks mark as secret is hidden. */
  readonly isReader: boolean
}

type OpenedStream = Pick<EventStream, 'start'> & { readonly run: RunRecord }

export interface RunStreamsOptions {
  readonly runWatch: RunWatch
  readonly room: StreamRoom
  readonly showsStacks: boolean
  readonly progressOf: ProgressOf
  readonly log: Log
  readonly timing?: Partial<StreamTiming>
}

interface Place {
  readonly runId: string
  readonly stream: EventStream
  /** null: there is no such run. */
  readonly first: PromiseWithResolvers<RunRecord | null>
  leave(): void
}

const placesPerTurn = 32

export function createRunStreams(options: RunStreamsOptions): RunStreams {
  const { runWatch, room, progressOf, log } = options
  const timing = { ...streamTiming, ...options.timing }
  const written = new Map<string, WeakMap<RunRecord, Buffer>>()
  const places = new Set<Place>()
  const turns = createTurnScheduler(placesPerTurn)
  let ticker: NodeJS.Timeout | undefined

  /** Never throws: the code that has changed the run calls it. */
  function eventOf(record: RunRecord, { prefix, isReader }: EventForm): Buffer | null {
    const ofPrefix = written.get(prefix) ?? new WeakMap<RunRecord, Buffer>()
    written.set(prefix, ofPrefix)
    const run = isReader ? withoutSecrets(record) : record
    try {
      const known = ofPrefix.get(run)
      if (known !== undefined) return known
      const data = eventText(run, { ...options, prefix })
      const event = Buffer.from(`event: run\nid: ${run.version}\ndata: ${data}\n\n`)
      ofPrefix.set(run, event)
      return event
    } catch (error) {
      log.error({ err: error, runId: run.id }, 'a run could not be shown to its watchers')
      return null
    }
  }

  function takePlace(runId: string, response: ServerResponse, form: EventForm): Place {
    const stream = createEventStream(response, (run) => eventOf(run, form), timing)
    const first = Promise.withResolvers<RunRecord | null>()
    const leaveRoom = room.take()
    function leave(): void {
      places.delete(place)
      leaveRoom()
      response.off('close', leave)
      unwatch()
      // For a client that went away before the run was read.
      first.resolve(null)
      if (places.size === 0) clearInterval(ticker)
    }
    const place: Place = { runId, stream, first, leave }
    const unwatch = runWatch.watch(runId, (snapshot) => show(place, snapshot))
    response.once('close', leave)
    if (places.size === 0) ticker = setInterval(tick, timing.sampleMs).unref()
    places.add(place)
    return place
  }

  function tick(): void {
    const sampled = new Map<RunRecord, readonly ProgressEvent[]>()
    const progress = (run: RunRecord): readonly ProgressEvent[] => {
      const events = sampled.get(run) ?? progressEventsOf(run, progressOf)
      sampled.set(run, events)
      return events
    }
    for (const place of places) {
      turns.run(() => {
        // A client that went away before it had a place has closed its response before: it does not say so again.
        if (places.has(place) && !place.stream.attend(progress)) place.leave()
      })
    }
  }

  /** The last changes may not have been shown yet; a subscriber that comes later is shown a run later. */
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
    async open(runId, response, form) {
      const { first, stream } = takePlace(runId, response, form)
      const run = await first.promise
      return run === null ? null : { run, start: stream.start }
    },
    async close() {
      room.close()
      await Promise.all([...places].map(endWithNewest))
    },
  }
}

function show({ stream, first }: Place, snapshot: Snapshot): void {
  if (snapshot.kind === 'run') {
    stream.showRun(snapshot.run)
    first.resolve(snapshot.run)
    return
  }
  if (snapshot.kind === 'gone') first.resolve(null)
  else first.reject(snapshot.error)
  stream.end()
}

function progressEventsOf(run: RunRecord, progressOf: ProgressOf): ProgressEvent[] {
  return run.jobs.flatMap(({ index, state, startedAt }) => {
    const progress = state === 'running' ? progressOf(run.id, index) : null
    if (progress === null) return []
    const { fraction, message } = progress
    const view: ProgressView = { jobIndex: index, progress: fraction, ...(message !== '' && { message }) }
    const text = `event: progress\ndata: ${JSON.stringify(view)}\n\n`
    return [{ jobIndex: index, key: `${startedAt} ${text}`, text }]
  })
}
