/**
 * Reads the JSON body of a request within its bounds, once, and keeps one copy of its bytes. A body that could not be read
 * is refused; it is never mistaken for the absent body that stands for the default run.
 */
import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Context } from 'koa'
import bodyParser from 'koa-bodyparser'
import { AppError } from '../../domain/errors.ts'
import { isTooDeep } from '../../domain/json.ts'
import type { ByteBudget, ByteHold } from '../byte-budget.ts'
import { sendContinue } from '../connections.ts'
import { acceptedCodings, isJsonInUtf8, parseCoding } from '../request-head.ts'
import type { LargeBodyParser } from './large-body-parser.ts'
import { type BodyRefusal, type PackedBody, parseBody, type ParsedBody, tooDeep, tooLarge } from './parse-body.ts'

export interface BodyReaderOptions {
  /** Largest body, both compressed and decompressed. */
  readonly maxBytes: number
  readonly largeBodies: LargeBodyParser
  /** Shared by the bodies of all requests that are not answered yet. */
  readonly budget: ByteBudget
}

/** May be large: a handler that waits for an answer keeps no reference to it, so that the memory is free meanwhile. */
export interface Body {
  /** undefined: the request has no body. */
  readonly value: unknown
  /**
   * SHA-256 of the bytes as received, compressed or not, in hexadecimal; of no bytes if there is no body. If a body parser of
   * the host app has read the body first, it is the digest of the text that the parser kept, or else of the value as JSON.
   */
  digest(): string
}

/** @throws AppError `unsupported-media-type`, `content-too-large`, `malformed-json`, `validation-error` or `overloaded` */
export type ReadBody = (ctx: Context) => Promise<Body>

/** Bytes. A body up to this size needs no room in the budget, so small requests are served while large ones fill it. */
const smallBody = 16_384
/** Bytes. A body of this size takes about two milliseconds to parse; larger ones are parsed in a thread. */
const largeBody = 131_072

/** Reads JSON in UTF-8. */
export function createBodyReader(options: BodyReaderOptions): ReadBody {
  return async (ctx) => {
    const { req, res } = ctx
    const announced = announcedBytes(ctx)
    if (announced === 0) return bodyOf(undefined, '')
    const coding = parseCoding(ctx.get('Content-Encoding'))
    const room = createRoom(ctx, options)
    // Takes room for all of it before any is read: bodies that grew side by side would all be refused half-way.
    room.resize(announced ?? 0)
    if (coding === undefined) throw notDecodable(ctx)
    let body: PackedBody
    if (req.readableDidRead) {
      const kept = hostBodyOf(ctx, announced)
      // An announced length is checked already, and JSON made of a parsed body can be longer.
      if (!kept.isParsed || announced === null) room.resize(kept.bytes.length)
      if (kept.isParsed) {
        if (isTooDeep(kept.value)) throw errorOf(tooDeep())
        return bodyOf(kept.value, kept.bytes)
      }
      body = { bytes: kept.bytes, coding: null }
    } else {
      sendContinue(req, res)
      const isSmall = announced !== null && announced <= smallBody && coding === null && isReadSmall(ctx)
      body = { bytes: isSmall ? await receiveSmall(ctx) : await receiveLarge(req, announced, room), coding }
    }
    // A chunked body without any bytes is no body. `parse` refuses an announced one without bytes.
    if (body.bytes.length === 0 && announced === null) return bodyOf(undefined, '')
    const parsed = await parse(body, options)
    if (parsed.ok) room.resize(parsed.bytes)
    return bodyOf(valueOf(parsed), body.bytes)
  }
}

/** The room that one body takes up until the response: memory holds its inputs, and what was made of them. */
interface BodyRoom {
  /** It fails when the client is too slow while others need the room. */
  reading: Reading | null
  /**
   * Refuses the body, or takes room for it.
   * @param bytes announced, received so far, or decompressed
   * @throws AppError `unsupported-media-type`, `content-too-large` or `overloaded`
   */
  resize(bytes: number): void
}

function createRoom(ctx: Context, { maxBytes, budget }: BodyReaderOptions): BodyRoom {
  const isJson = isJsonInUtf8(contentTypeOf(ctx))
  let hold: ByteHold | undefined
  const room: BodyRoom = {
    reading: null,
    resize(bytes) {
      if (bytes === 0) return
      if (!isJson) throw notJson(ctx)
      if (bytes > maxBytes) throw errorOf(tooLarge(maxBytes))
      if (bytes <= smallBody) return
      hold ??= holdUntilAnswered(ctx, budget, () => room.reading?.fail(tooSlow()))
      if (!hold.resize(bytes))
        throw new AppError('overloaded', 'the bodies of other requests use all the memory for bodies')
    },
  }
  return room
}

async function parse(body: PackedBody, { maxBytes, largeBodies }: BodyReaderOptions): Promise<ParsedBody> {
  if (body.bytes.length >= largeBody) return largeBodies.parse(body, maxBytes)
  const parsed = parseBody(body, Math.min(maxBytes, largeBody))
  const isTooLargeHere = !parsed.ok && parsed.code === 'content-too-large'
  return isTooLargeHere && maxBytes > largeBody ? largeBodies.parse(body, maxBytes) : parsed
}

/** JSON that did not come as the body of a request, parsed with the same checks. @throws AppError as ReadBody */
export function parseJsonText(text: string, maxBytes: number): unknown {
  return valueOf(parseBody({ bytes: Buffer.from(text), coding: null }, maxBytes))
}

function valueOf(parsed: ParsedBody): unknown {
  if (parsed.ok) return parsed.value
  throw errorOf(parsed)
}

function errorOf({ code, detail, members }: BodyRefusal): AppError {
  return new AppError(code, detail, { members })
}

function bodyOf(value: unknown, received: Uint8Array | string): Body {
  return { value, digest: () => hash('sha256', received) }
}

/** Length of the body by its headers, 0 if there is none (`Number('')`); null: chunked, so its length is unknown. */
function announcedBytes(ctx: Context): number | null {
  return ctx.get('Transfer-Encoding') === '' ? Number(ctx.get('Content-Length')) : null
}

function holdUntilAnswered({ req, res }: Context, budget: ByteBudget, cutOff: () => void): ByteHold {
  const hold = budget.open({ moved: () => req.socket.bytesRead, isAwaited: () => !req.complete, cutOff })
  if (res.closed) hold.release()
  else res.once('close', hold.release)
  return hold
}

// With `encoding: null` it leaves the bytes, so that they are parsed once, strictly, and no text is kept as well. Its types
// allow strings only (https://github.com/cojs/co-body/blob/master/lib/text.js passes the option to raw-body).
const bytesOnly = { encoding: null } as unknown as { readonly encoding?: string }
const readBytes = bodyParser({
  ...bytesOnly,
  enableTypes: ['text'],
  extendTypes: { text: ['application/json'] },
  onerror: (error) => {
    throw incomplete(error)
  },
})

/** Whether koa-bodyparser would read the body: it skips one that another parser has taken, and other content types. */
function isReadSmall({ request }: Context): boolean {
  return request.body === undefined && request.is('application/json') === 'application/json'
}

/**
 * Reads a small body of announced length, which nearly all bodies are.
 * @throws AppError `malformed-json` if it ends too early
 */
async function receiveSmall(ctx: Context): Promise<Uint8Array> {
  await readBytes(ctx, async () => {})
  const bytes: unknown = ctx.request.body
  // The host app may set a body of its own.
  Reflect.deleteProperty(ctx.request, 'body')
  Reflect.deleteProperty(ctx.request, 'rawBody')
  if (!(bytes instanceof Uint8Array)) throw new Error('koa-bodyparser left no bytes')
  return bytes
}

/** Reads any body, and takes room for it as it grows. */
async function receiveLarge(req: IncomingMessage, announced: number | null, room: BodyRoom): Promise<Uint8Array> {
  room.reading = receive(req, (received) => room.resize(announced ?? received))
  const bytes = await room.reading.bytes
  // The hold lasts until the response is sent. Its `cutOff` would keep the reading, and so the bytes, in memory.
  room.reading = null
  return bytes
}

interface Reading {
  readonly bytes: Promise<Uint8Array>
  /** Stops reading and drops what was received; `bytes` rejects with the error. */
  fail(error: unknown): void
}

/**
 * Reads a body piece by piece.
 * @param check called with the number of bytes received so far; reading fails with what it throws
 */
function receive(req: IncomingMessage, check: (received: number) => void): Reading {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  const chunks: Buffer[] = []
  let length = 0

  function stop(): void {
    req.off('data', take).off('end', finish).off('error', fail).off('close', failIncomplete)
  }
  function fail(error: unknown): void {
    stop()
    chunks.length = 0
    req.pause()
    reject(error)
  }
  function failIncomplete(): void {
    fail(incomplete())
  }
  function take(chunk: Buffer): void {
    length += chunk.length
    chunks.push(chunk)
    try {
      check(length)
    } catch (error) {
      fail(error)
    }
  }
  function finish(): void {
    stop()
    const [first] = chunks
    resolve(chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks))
  }

  req.on('data', take).once('end', finish).once('error', fail).once('close', failIncomplete)
  if (req.destroyed) failIncomplete()
  return { bytes: promise, fail }
}

/** A body that a parser of the host app has read. `bytes`: its text, or its value as JSON if it `isParsed`. */
type HostBody =
  | { readonly isParsed: false; readonly bytes: Uint8Array }
  | { readonly isParsed: true; readonly bytes: Uint8Array; readonly value: unknown }

/**
 * Finds what a body parser of the host app (koa-bodyparser, koa-body, express.json) has left of the body. The text is
 * preferred where it was kept, because the value does not say how it was written. A body that was not kept is never taken
 * for an empty one: that would be another request.
 * @param announced bytes; null: unknown
 * @throws AppError `body-already-read`, which says how to change the host app
 */
function hostBodyOf(ctx: Context, announced: number | null): HostBody {
  const raw: unknown = Reflect.get(ctx.request, 'rawBody') ?? Reflect.get(ctx.req, 'rawBody')
  const body: unknown = Reflect.get(ctx.request, 'body') ?? Reflect.get(ctx.req, 'body')
  for (const kept of [raw, body]) {
    if (typeof kept === 'string') return { isParsed: false, bytes: Buffer.from(kept) }
    if (kept instanceof Uint8Array) return { isParsed: false, bytes: kept }
  }
  // Parsers also leave {} for a body that they skipped: only a body of that length was really empty.
  const isEmpty = typeof body === 'object' && body !== null && Object.keys(body).length === 0
  if (body !== undefined && (!isEmpty || announced === '{}'.length)) {
    return { isParsed: true, bytes: Buffer.from(JSON.stringify(body)), value: body }
  }
  const remedy = 'mount Forerunner before it, or keep it from reading the bodies of POST /run-tasks'
  throw new AppError(
    'body-already-read',
    `a body parser of the app has read the body and kept nothing of it; ${remedy}`,
  )
}

/** Node's `headers` has only the first of two fields, and a proxy may have used the other one. */
function contentTypeOf({ req }: Context): string {
  return (req.headersDistinct['content-type'] ?? []).join(', ')
}

function incomplete(cause?: unknown): AppError {
  return new AppError('malformed-json', 'the body was cut off', { cause })
}

function notJson(ctx: Context): AppError {
  const given = contentTypeOf(ctx)
  const detail = given === '' ? 'the body has no Content-Type' : `the body's Content-Type is ${given}`
  return new AppError('unsupported-media-type', `${detail}; it must be application/json in UTF-8`)
}

function notDecodable(ctx: Context): AppError {
  ctx.set('Accept-Encoding', acceptedCodings)
  const detail = `the Content-Encoding ${ctx.get('Content-Encoding')} is not supported; one of ${acceptedCodings} is`
  return new AppError('unsupported-media-type', detail)
}

function tooSlow(): AppError {
  return new AppError('overloaded', 'the body came too slowly while other requests waited for memory')
}
