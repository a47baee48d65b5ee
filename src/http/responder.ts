/**
 * Sends views within a bound of bytes that clients have not read yet. What is small is not counted, so that requests with
 * small responses are always served; what is large has to find room, and a run with large results is written
 * as its client reads it.
 */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Context } from 'koa'
import { AppError } from '../domain/errors.ts'
import { writeJson } from '../domain/json.ts'
import type { JobInput, JobRecord } from '../domain/job.ts'
import type { RunRecord } from '../domain/run.ts'
import type { Log } from '../log.ts'
import { createGate } from '../runtime/event-loop.ts'
import type { RunFilter, RunPage, Store } from '../store/store.ts'
import type { ByteBudget } from './byte-budget.ts'
import { isNotModified, tagOfText } from './request-head.ts'
import { noSuchRun } from './validation.ts'
import { hidesSecrets, jobWithoutSecrets, withoutSecrets } from './permissions.ts'
import type { ViewOptions } from './views/job.ts'
import { hasOmissions, runText, viewMinimalRun, viewRun, type WholeJob } from './views/run.ts'

export interface Responder {
  /** Resolves when it is written. @throws AppError `overloaded`, before anything is written */
  send(ctx: Context, view: unknown): Promise<void>
  /** The same of JSON text. */
  sendText(ctx: Context, json: string): Promise<void>
  /** The same with an `ETag` of its text; 304 for a client that has it. */
  sendTagged(ctx: Context, view: unknown): Promise<void>
  /** As `send`. */
  sendRun(ctx: Context, run: RunRecord): Promise<void>
  /** The same in two steps: it returns when there is room, and the function that it returns writes. */
  prepareRun(ctx: Context, run: RunRecord, isMinimal: boolean): () => Promise<void>
  /** Reads of a job what was omitted from its run. @throws AppError `run-not-found` */
  wholeJob(runId: string): WholeJob
  /** Reads that may be large: only a few are under way at once. */
  readJob(runId: string, index: number): Promise<JobRecord | null>
  readInput(runId: string, index: number): Promise<JobInput | null>
  readPage(filter: RunFilter): Promise<RunPage>
}

export interface ResponderOptions {
  readonly view: ViewOptions
  readonly store: Pick<Store, 'getJob' | 'getInput' | 'listRuns'>
  readonly budget: ByteBudget
  readonly log: Log
  /** How long a client may leave a part unread, without any progress, in milliseconds. */
  readonly stuckMs?: number
}

/** A response up to this needs no room. */
const smallBytes = 131_072
/** Forms of a result in memory at once: it is read, parsed and written again. */
const formsOfResult = 4
const readsAtOnce = 4
const partBytes = 65_536
const defaultStuckMs = 60_000
/** They describe a run's answer, and do not belong to the problem that is sent instead. */
const headersOfAnswer = ['ETag', 'Link', 'Preference-Applied']

export function createResponder(options: ResponderOptions): Responder {
  const { view, store, budget, log, stuckMs = defaultStuckMs } = options
  const inTurn = createGate(readsAtOnce)

  /** Until the response is over. */
  function takeRoom(ctx: Context, bytes: number, runId?: string): void {
    const { res } = ctx
    const { socket } = res.req
    if (bytes <= smallBytes || res.closed) return
    const hold = budget.open({
      // What is written counts when all of it is taken, so it is written in small parts.
      moved: () => socket.bytesWritten - socket.writableLength,
      isAwaited: () => isOfNetwork(socket) && socket.writableLength > 0,
      cutOff: () => socket.destroy(),
    })
    if (!hold.resize(bytes)) {
      hold.release()
      for (const name of headersOfAnswer) ctx.remove(name)
      throw noRoom(runId)
    }
    res.once('close', hold.release)
  }

  function readJob(runId: string, index: number): Promise<JobRecord | null> {
    return inTurn(() => store.getJob(runId, index))
  }

  function wholeJob(runId: string): WholeJob {
    return async (job) => {
      if (job.omitted === undefined) return job
      const whole = await readJob(runId, job.index)
      if (whole === null) throw noSuchRun(runId)
      const { omitted: _omitted, ...rest } = job
      const { result, failures, steps } = whole
      return { ...rest, result, failures, error: job.error && (whole.error ?? job.error), ...(steps && { steps }) }
    }
  }

  function wholeFor(isReader: boolean, runId: string): WholeJob {
    const read = wholeJob(runId)
    return isReader ? async (job) => jobWithoutSecrets(await read(job)) : read
  }

  async function write(ctx: Context, pieces: Iterable<string> | AsyncIterable<string>, runId?: string): Promise<void> {
    const { res } = ctx
    ctx.set('Content-Type', 'application/json; charset=utf-8')
    // Without a body of its own Koa answers 404, unless the route has set a status.
    if (ctx.status === 404) ctx.status = 200
    // Not as a body of Koa's: it reports every client that goes away as an error of the app.
    ctx.respond = false
    ctx.flushHeaders()
    res.on('error', () => {})
    try {
      for await (const piece of ctx.method === 'HEAD' ? [] : pieces) {
        if (res.destroyed) return
        await writePiece(res, Buffer.from(piece), stuckMs)
      }
      res.end()
    } catch (error) {
      log.warn({ err: error, runId }, 'a response could not be sent to its end')
      // Cut off, so that no client takes it for the whole.
      res.destroy()
    }
  }

  /** In two steps: that there is room is known after the first. */
  function prepare(ctx: Context, text: string, runId?: string): () => Promise<void> {
    const bytes = Buffer.byteLength(text)
    if (bytes <= smallBytes) return async () => sendText(ctx, text)
    takeRoom(ctx, bytes, runId)
    return () => {
      ctx.set('Content-Length', String(bytes))
      return write(ctx, [text], runId)
    }
  }

  function prepareRun(ctx: Context, record: RunRecord, isMinimal: boolean): () => Promise<void> {
    const isReader = hidesSecrets(ctx)
    const run = isReader ? withoutSecrets(record) : record
    if (!hasOmissions(run)) {
      return prepare(ctx, writeJson(isMinimal ? viewMinimalRun(run) : viewRun(run, view)), run.id)
    }
    const largest = Math.max(...run.jobs.map(({ omitted }) => omitted?.resultBytes ?? 0))
    takeRoom(ctx, smallBytes + formsOfResult * largest, run.id)
    return () => write(ctx, runText(run, { ...view, isMinimal, wholeJob: wholeFor(isReader, run.id) }), run.id)
  }

  /** A client that polls gets no body as long as nothing has changed. */
  async function sendTagged(ctx: Context, value: unknown): Promise<void> {
    const text = writeJson(value)
    const tag = tagOfText(text)
    ctx.set('ETag', tag)
    if (isNotModified(ctx.get('If-None-Match'), tag)) ctx.status = 304
    else await prepare(ctx, text)()
  }

  return {
    sendTagged,
    send: (ctx, value) => prepare(ctx, writeJson(value))(),
    sendText: (ctx, json) => prepare(ctx, json)(),
    prepareRun,
    sendRun: (ctx, run) => prepareRun(ctx, run, false)(),
    wholeJob,
    readJob,
    readInput: (runId, index) => inTurn(() => store.getInput(runId, index)),
    readPage: (filter) => inTurn(() => store.listRuns(filter)),
  }
}

/**
 * As text, not as the value: Koa asks of an object whether it is a Response, for which Node has to load all of `fetch`
 * while the first caller waits (measured: 40 ms and more).
 */
export function sendJson(ctx: Context, view: unknown): void {
  sendText(ctx, writeJson(view))
}

export function sendText(ctx: Context, json: string): void {
  ctx.set('Content-Type', 'application/json; charset=utf-8')
  ctx.body = json
}

function noRoom(runId: string | undefined): AppError {
  const members = runId === undefined ? {} : { runId }
  return new AppError('overloaded', 'other clients have not read their large responses yet', { members })
}

/** Resolves when there is room for more. A client that takes nothing for `stuckMs` is cut off. */
async function writePiece(response: ServerResponse, bytes: Buffer, stuckMs: number): Promise<void> {
  for (let at = 0; at < bytes.length && !response.destroyed; at += partBytes) {
    if (!response.write(bytes.subarray(at, at + partBytes))) await drained(response, stuckMs)
  }
}

async function drained(response: ServerResponse, stuckMs: number): Promise<void> {
  if (response.destroyed) return
  const { socket } = response.req
  const timeout = socket.timeout ?? 0
  const over = new AbortController()
  const { signal } = over
  // Node begins again whenever some of it has been taken.
  if (isOfNetwork(socket)) socket.setTimeout(stuckMs)
  await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]).finally(() => {
    over.abort()
    if (isOfNetwork(socket)) socket.setTimeout(timeout)
  })
}

/** A caller inside the process has a pair of streams, and takes its time as it likes. */
function isOfNetwork(socket: Duplex): socket is Socket {
  return socket instanceof Socket
}
