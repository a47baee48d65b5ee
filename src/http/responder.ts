/**
 * Sends JSON, and bounds the bytes of responses that clients have not read yet. Small responses are not counted, so they
 * can always be sent. A large one reserves room first. A run with large results is written while its client reads it.
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
import { hasOmissions, type ReadWholeJob, runText, viewMinimalRun, viewRun } from './views/run.ts'

export interface Responder {
  /** Resolves when the response is written. @throws AppError `overloaded`, before anything is written */
  send(ctx: Context, value: unknown): Promise<void>
  /** Like `send`, with a text that is JSON already. */
  sendText(ctx: Context, json: string): Promise<void>
  /** Like `send`, with an `ETag` made of the text. Responds 304 if the client has it. */
  sendTagged(ctx: Context, value: unknown): Promise<void>
  /** Like `send`. */
  sendRun(ctx: Context, run: RunRecord): Promise<void>
  /**
   * The two steps of `sendRun`: reserves room, and returns a function that writes. Between them the route sets its headers.
   * @throws AppError `overloaded`
   */
  prepareRun(ctx: Context, run: RunRecord, isMinimal: boolean): () => Promise<void>
  /** @returns a function that reads the omitted members of a job. It throws AppError `run-not-found`. */
  wholeJobReader(runId: string): ReadWholeJob
  /** These reads may be large, so only a few are under way at once. */
  readJob(runId: string, index: number): Promise<JobRecord | null>
  readInput(runId: string, index: number): Promise<JobInput | null>
  readPage(filter: RunFilter): Promise<RunPage>
}

export interface ResponderOptions {
  readonly view: ViewOptions
  readonly store: Pick<Store, 'getJob' | 'getInput' | 'listRuns'>
  readonly budget: ByteBudget
  readonly log: Log
  /** Milliseconds after which a client that reads nothing is cut off. */
  readonly stuckMs?: number
}

/** A response up to this size needs no room. */
const smallBytes = 131_072
/** Copies of a result that are in memory at once: as it was read, parsed, and in the response as text and as bytes. */
const copiesOfResult = 4
const readsAtOnce = 4
/** Of one write. The client's progress is seen only when it has read a whole piece, so pieces are small. */
const pieceBytes = 65_536
const defaultStuckMs = 60_000
/** These headers describe the answer of a run, so a problem that is sent instead must not have them. */
const answerHeaders = ['ETag', 'Link', 'Preference-Applied']

export function createResponder(options: ResponderOptions): Responder {
  const { view, store, budget, log, stuckMs = defaultStuckMs } = options
  const readInTurn = createGate(readsAtOnce)

  /** Reserves room until the response is closed. @throws AppError `overloaded` */
  function reserve(ctx: Context, bytes: number, runId?: string): void {
    const { res } = ctx
    const { socket } = res.req
    if (bytes <= smallBytes || res.closed) return
    const hold = budget.open({
      moved: () => socket.bytesWritten - socket.writableLength,
      isAwaited: () => isNetworkSocket(socket) && socket.writableLength > 0,
      cutOff: () => socket.destroy(),
    })
    if (!hold.resize(bytes)) {
      hold.release()
      for (const name of answerHeaders) ctx.remove(name)
      const members = runId === undefined ? {} : { runId }
      throw new AppError('overloaded', 'other clients have not read their large responses yet', { members })
    }
    res.once('close', hold.release)
  }

  function readJob(runId: string, index: number): Promise<JobRecord | null> {
    return readInTurn(() => store.getJob(runId, index))
  }

  function wholeJobReader(runId: string): ReadWholeJob {
    return async ({ omitted, ...job }) => {
      if (omitted === undefined) return job
      const whole = await readJob(runId, job.index)
      if (whole === null) throw noSuchRun(runId)
      const { result, failures, steps } = whole
      return { ...job, result, failures, error: job.error && (whole.error ?? job.error), ...(steps && { steps }) }
    }
  }

  async function write(ctx: Context, texts: Iterable<string> | AsyncIterable<string>, runId?: string): Promise<void> {
    const { res } = ctx
    ctx.set('Content-Type', 'application/json; charset=utf-8')
    // Koa sets 404 until a route sets a status or a body.
    if (ctx.status === 404) ctx.status = 200
    // The response is not a body of Koa's: Koa reports each client that leaves as an error of the app.
    ctx.respond = false
    ctx.flushHeaders()
    res.on('error', () => {})
    try {
      for await (const text of ctx.method === 'HEAD' ? [] : texts) {
        if (res.destroyed) return
        await writeInPieces(res, Buffer.from(text), stuckMs)
      }
      res.end()
    } catch (error) {
      log.warn({ err: error, runId }, 'a response could not be sent to its end')
      // The connection is cut, so that the client notices that the response is incomplete.
      res.destroy()
    }
  }

  /** Reserves room, and returns a function that writes. */
  function prepare(ctx: Context, text: string, runId?: string): () => Promise<void> {
    const bytes = Buffer.byteLength(text)
    if (bytes <= smallBytes) return async () => sendSmallText(ctx, text)
    reserve(ctx, bytes, runId)
    return () => {
      ctx.set('Content-Length', String(bytes))
      return write(ctx, [text], runId)
    }
  }

  function prepareRun(ctx: Context, record: RunRecord, isMinimal: boolean): () => Promise<void> {
    const run = hidesSecrets(ctx) ? withoutSecrets(record) : record
    if (!hasOmissions(run)) {
      return prepare(ctx, writeJson(isMinimal ? viewMinimalRun(run) : viewRun(run, view)), run.id)
    }
    const largest = Math.max(...run.jobs.map(({ omitted }) => omitted?.resultBytes ?? 0))
    reserve(ctx, smallBytes + copiesOfResult * largest, run.id)
    const read = wholeJobReader(run.id)
    const readWholeJob: ReadWholeJob = hidesSecrets(ctx) ? async (job) => jobWithoutSecrets(await read(job)) : read
    return () => write(ctx, runText(run, { ...view, isMinimal, readWholeJob }), run.id)
  }

  async function sendTagged(ctx: Context, value: unknown): Promise<void> {
    const text = writeJson(value)
    const tag = tagOfText(text)
    ctx.set('ETag', tag)
    if (isNotModified(ctx.get('If-None-Match'), tag)) ctx.status = 304
    else await prepare(ctx, text)()
  }

  return {
    send: (ctx, value) => prepare(ctx, writeJson(value))(),
    sendText: (ctx, json) => prepare(ctx, json)(),
    sendTagged,
    sendRun: (ctx, run) => prepareRun(ctx, run, false)(),
    prepareRun,
    wholeJobReader,
    readJob,
    readInput: (runId, index) => readInTurn(() => store.getInput(runId, index)),
    readPage: (filter) => readInTurn(() => store.listRuns(filter)),
  }
}

/**
 * Sends a response whose size the route bounds, and reserves no room for it. Koa gets text and no object: it would test
 * whether the object is a `Response`, and for that Node loads all of `fetch`: 40 ms and more while the first caller waits.
 */
export function sendSmall(ctx: Context, value: unknown): void {
  sendSmallText(ctx, writeJson(value))
}

export function sendSmallText(ctx: Context, json: string): void {
  ctx.set('Content-Type', 'application/json; charset=utf-8')
  ctx.body = json
}

/** Resolves when all of it is written, or when the response is closed. Cuts off a client that reads nothing for `stuckMs`. */
async function writeInPieces(response: ServerResponse, bytes: Buffer, stuckMs: number): Promise<void> {
  for (let start = 0; start < bytes.length && !response.destroyed; start += pieceBytes) {
    if (!response.write(bytes.subarray(start, start + pieceBytes))) await drained(response, stuckMs)
  }
}

/** Resolves when the client has read what was written, or when the response is closed. */
async function drained(response: ServerResponse, stuckMs: number): Promise<void> {
  if (response.destroyed) return
  const { socket } = response.req
  const timeoutBefore = socket.timeout ?? 0
  const ended = new AbortController()
  const { signal } = ended
  // Node restarts this timeout whenever the client has read some bytes.
  if (isNetworkSocket(socket)) socket.setTimeout(stuckMs)
  await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]).finally(() => {
    ended.abort()
    if (isNetworkSocket(socket)) socket.setTimeout(timeoutBefore)
  })
}

/** False for a caller inside the process, which has a pair of streams and is never cut off. */
function isNetworkSocket(socket: Duplex): socket is Socket {
  return socket instanceof Socket
}
