/**
 * All open event streams: those of single runs, and those that only say how many changes of runs there were. Both count
 * against one quota. Each kind has one timer for everything that is not sent because of a change.
 */
import type { ServerResponse } from 'node:http'
import type { RunRecord } from '../../domain/run.ts'
import type { RunWatch, Snapshot } from '../../feed/feed.ts'
import type { Log } from '../../log.ts'
import { createTurnScheduler } from '../../runtime/event-loop.ts'
import { withoutSecrets } from '../permissions.ts'
import type { ProgressOf, ProgressView, ViewOptions } from '../views/job.ts'
import { eventText } from '../views/run.ts'
import {
  comment,
  createRunStream,
  onceClosed,
  type ProgressEvent,
  type RunStream,
  type StreamQuota,
  streamTiming,
  type StreamTiming,
} from './event-stream.ts'

export interface RunStreams {
  /**
   * Opens a stream, which counts against the quota until its response is over.
   * @returns the run that the stream sends first, and a function that starts to write, to be called once the head is sent;
   * null if there is no such run
   * @throws AppError `too-many-streams`, `shutting-down` or `store-unavailable`
   */
  open(runId: string, response: ServerResponse, form: EventForm): Promise<OpenedStream | null>
  /** Opens no more streams, shows the newest state of its run to each, and ends them. Clients may still read that. */
  close(): Promise<void>
}

/** How the events of one run differ between clients. */
export interface EventForm {
  /** Precedes each address in the events. */
  readonly prefix: string
  /** Whether secrets are hidden from the client. */
  readonly hidesSecrets: boolean
}

type OpenedStream = Pick<RunStream, 'start'> & { readonly run: RunRecord }

export interface RunStreamsOptions {
  readonly runWatch: RunWatch
  readonly quota: StreamQuota
  readonly view: ViewOptions
  readonly log: Log
  readonly timing?: Partial<StreamTiming>
}

interface OpenStream {
  readonly runId: string
  readonly stream: RunStream
  /** Resolves to the first run that the stream is shown; null if there is none. */
  readonly first: PromiseWithResolvers<RunRecord | null>
}

const ticksPerTurn = 32

export function createRunStreams({ runWatch, quota, view, log, timing: given }: RunStreamsOptions): RunStreams {
  const timing = { ...streamTiming, ...given }
  const eventsByPrefix = new Map<string, WeakMap<RunRecord, Buffer>>()
  const openStreams = new Set<OpenStream>()
  const turns = createTurnScheduler(ticksPerTurn)
  let ticker: NodeJS.Timeout | undefined

  /** Each event is serialised once for all streams that send it. Never throws, because nothing would catch it on `drain`. */
  function eventOf(record: RunRecord, { prefix, hidesSecrets }: EventForm): Buffer | null {
    const events = eventsByPrefix.get(prefix) ?? new WeakMap<RunRecord, Buffer>()
    eventsByPrefix.set(prefix, events)
    const run = hidesSecrets ? withoutSecrets(record) : record
    try {
      const known = events.get(run)
      if (known !== undefined) return known
      const event = Buffer.from(`event: run\nid: ${run.version}\ndata: ${eventText(run, { ...view, prefix })}\n\n`)
      events.set(run, event)
      return event
    } catch (error) {
      log.error({ err: error, runId: run.id }, 'a run could not be shown to its watchers')
      return null
    }
  }

  function addStream(runId: string, response: ServerResponse, form: EventForm): OpenStream {
    const giveBack = quota.take()
    const stream = createRunStream(response, (run) => eventOf(run, form), timing)
    const opened: OpenStream = { runId, stream, first: Promise.withResolvers() }
    const unwatch = runWatch.watch(runId, (snapshot) => show(opened, snapshot))
    if (openStreams.size === 0) ticker = setInterval(tick, timing.sampleMs).unref()
    openStreams.add(opened)
    onceClosed(response, () => {
      openStreams.delete(opened)
      giveBack()
      unwatch()
      // The client may have left before the run was read.
      opened.first.resolve(null)
      if (openStreams.size === 0) clearInterval(ticker)
    })
    return opened
  }

  function tick(): void {
    const sampled = new Map<RunRecord, readonly ProgressEvent[]>()
    const progress = (run: RunRecord): readonly ProgressEvent[] => {
      const events = sampled.get(run) ?? progressEventsOf(run, view.progressOf)
      sampled.set(run, events)
      return events
    }
    for (const { stream } of openStreams) turns.run(() => stream.tick(progress))
  }

  /** The stream may not have got the last changes yet. A new watch of its run begins with a read, which finds them. */
  function endWithNewest(opened: OpenStream): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const unwatch = runWatch.watch(opened.runId, (snapshot) => {
      unwatch()
      show(opened, snapshot)
      opened.stream.end()
      resolve()
    })
    return promise
  }

  return {
    async open(runId, response, form) {
      const { first, stream } = addStream(runId, response, form)
      const run = await first.promise
      return run === null ? null : { run, start: stream.start }
    },
    async close() {
      quota.close()
      await Promise.all([...openStreams].map(endWithNewest))
    },
  }
}

function show({ stream, first }: OpenStream, snapshot: Snapshot): void {
  if (snapshot.kind === 'run') {
    stream.showRun(snapshot.run)
    first.resolve(snapshot.run)
    return
  }
  if (snapshot.kind === 'gone') first.resolve(null)
  else first.reject(snapshot.error)
  stream.end()
}

function progressEventsOf(run: RunRecord, progressOf: ProgressOf | undefined): ProgressEvent[] {
  return run.jobs.flatMap(({ index, state, startedAt }) => {
    const progress = state === 'running' ? progressOf?.(run.id, index) : null
    if (!progress) return []
    const { fraction, message } = progress
    const event: ProgressView = { jobIndex: index, progress: fraction, ...(message !== '' && { message }) }
    const text = `event: progress\ndata: ${JSON.stringify(event)}\n\n`
    return [{ jobIndex: index, key: `${startedAt} ${text}`, text }]
  })
}

/** Streams of changes. An event has the number of changes and no runs: its reader asks for the runs that it shows. */
export interface ChangeStreams {
  /** Called whenever a run was accepted or has changed. */
  noteChange(): void
  /**
   * Opens a stream, which counts against the quota until its response is over.
   * @returns a function that starts to write, to be called once the head is sent
   * @throws AppError `too-many-streams` or `shutting-down`
   */
  open(response: ServerResponse): { start(): void }
  close(): void
}

const changesRetryMs = 3_000

interface ChangesClient {
  readonly response: ServerResponse
  /** The value of `changes` up to which the client was notified. */
  notifiedUpTo: number
  sentAt: number
}

export function createChangeStreams(quota: StreamQuota, given?: Partial<StreamTiming>): ChangeStreams {
  const { sampleMs, commentMs, stuckMs } = { ...streamTiming, ...given }
  const clients = new Set<ChangesClient>()
  let changes = 0
  let ticker: NodeJS.Timeout | undefined

  function tick(): void {
    const now = performance.now()
    for (const client of clients) update(client, now)
  }

  function update(client: ChangesClient, now: number): void {
    const { response, notifiedUpTo, sentAt } = client
    if (response.writableNeedDrain) {
      // The client reads first. The next event counts everything that happened meanwhile.
      if (now - sentAt > stuckMs) response.destroy()
      return
    }
    if (notifiedUpTo === changes && now - sentAt < commentMs) return
    response.write(notifiedUpTo === changes ? comment : changesEvent(changes - notifiedUpTo))
    client.notifiedUpTo = changes
    client.sentAt = now
  }

  return {
    noteChange() {
      changes += 1
    },
    open(response) {
      const giveBack = quota.take()
      const client: ChangesClient = { response, notifiedUpTo: changes, sentAt: performance.now() }
      onceClosed(response, () => {
        clients.delete(client)
        giveBack()
        if (clients.size === 0) clearInterval(ticker)
      })
      return {
        start() {
          if (response.closed) return
          // The client can leave during a write. The response closes then, which is all that matters.
          response.on('error', () => {})
          if (clients.size === 0) ticker = setInterval(tick, sampleMs).unref()
          clients.add(client)
          response.write(`retry: ${changesRetryMs}\n\n${changesEvent(0)}`)
        },
      }
    },
    close() {
      quota.close()
      for (const { response } of clients) response.end()
    },
  }
}

function changesEvent(changes: number): string {
  return `event: changes\ndata: {"changes":${changes}}\n\n`
}
