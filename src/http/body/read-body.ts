/**
 * Reads a request's JSON body within its bounds, wherever it is to be had: each is read once, and kept once. The default run is
 * never mistaken for a body that was not read.
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
import { tooDeep, tooLarge, valueOf, type BodyParser } from './body-parser.ts'
import type { PackedBody } from './parse-body.ts'

export interface BodyReaderOptions {
  /** Of a body, packed and unpacked. */
  readonly maxBytes: number
  readonly parser: BodyParser
  /** For the bodies of all requests that are not answered yet. */
  readonly budget: ByteBudget
}

/** To be let go before a request waits for the run's answer: the memory is better used for others. */
export interface Body {
  /** Undefined where there is no body. */
  readonly value: unknown
  /**
   * The SHA-256 of the body's bytes as they were received, packed or not, in hexadecimal; of nothing for no body. Where a
   * parser of the app around has read the body first, it is that of the text that it has kept, or else of the value,
   * written again.
   */
  digest(): string
}

/** @throws AppError `unsupported-media-type`, `content-too-large`, `malformed-json`, `validation-error` or `overloaded` */
export type ReadBody = (ctx: Context) => Promise<Body>

/** A body up to this needs no room in the budget: while others have filled it, small requests are served. */
const smallBody = 16_384

/** Takes JSON in UTF-8. */
export function createBodyReader({ maxBytes, parser, budget }: BodyReaderOptions): ReadBody {
  return async (ctx) => {
    const { req, res } = ctx
    const isChunked = ctx.get('Transfer-Encoding') !== ''
    /** Bytes; NaN where the request does not say. */
    const announced = isChunked ? Number.NaN : Number(ctx.get('Content-Length'))
    if (!isChunked && !(announced > 0)) return bodyOf(undefined, '')
    let reading: Reading | undefined
    let hold: ByteHold | undefined
    const isJson = isJsonInUtf8(contentTypeOf(ctx))
    const coding = parseCoding(ctx.get('Content-Encoding'))

    /** Passes NaN. */
    function check(bytes: number): void {
      if (!isJson && bytes > 0) throw notJson(ctx)
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      if (bytes > smallBody && !takeRoom(bytes)) throw noRoom()
    }

    function takeRoom(bytes: number): boolean {
      hold ??= holdUntilAnswered(ctx, budget, () => reading?.fail(tooSlow()))
      return hold.resize(bytes)
    }

    async function parse(body: PackedBody): Promise<Body> {
      // Chunks of nothing are no body; announced bytes that are not there are one.
      if (body.bytes.length === 0 && !(announced > 0)) return bodyOf(undefined, '')
      const parsed = await parser.parse(body, maxBytes)
      if (parsed.kind === 'value') check(parsed.bytes)
      return bodyOf(valueOf(parsed, maxBytes), body.bytes)
    }

    // Room for all of it, or it is not read: many that grew together would all be refused in the middle.
    check(announced)
    if (coding === undefined) throw notDecodable(ctx)
    if (req.readableDidRead) {
      const body = hostBodyOf(ctx, announced)
      check(body.kind === 'bytes' ? body.bytes.length : 0)
      if (body.kind === 'bytes') return parse({ bytes: body.bytes, coding: null })
      if (isTooDeep(body.value)) throw tooDeep()
      return bodyOf(body.value, body.text)
    }
    sendContinue(req, res)
    if (announced <= smallBody && coding === null && isReadSmall(ctx)) {
      return parse({ bytes: await receiveSmall(ctx), coding })
    }
    reading = receive(req, (length) => check(Math.max(length, announced || 0)))
    const bytes = await reading.bytes
    // The room is held until the response; what was read for it need not be.
    reading = undefined
    return parse({ bytes, coding })
  }
}

function bodyOf(value: unknown, received: Uint8Array | string): Body {
  return { value, digest: () => hash('sha256', received) }
}

/** Until then parts of the body are held: its inputs, and what was made of them. */
function holdUntilAnswered({ req, res }: Context, budget: ByteBudget, cutOff: () => void): ByteHold {
  const hold = budget.open({ moved: () => req.socket.bytesRead, isAwaited: () => !req.complete, cutOff })
  if (res.closed) hold.release()
  else res.once('close', hold.release)
  return hold
}

// Without an encoding it leaves the bytes: they are parsed once, strictly, and no text is kept as well. Its types
// know only texts (https://github.com/cojs/co-body/blob/master/lib/text.js passes the option to raw-body).
const bytesOnly = { encoding: null } as unknown as { readonly encoding?: string }
const readBytes = bodyParser({
  ...bytesOnly,
  enableTypes: ['text'],
  extendTypes: { text: ['application/json'] },
  onerror(error) {
    throw new AppError('malformed-json', 'the body was cut off', { cause: error })
  },
})

/** Whether `receiveSmall` would read the body, which leaves alone what a parser of the app around has begun. */
function isReadSmall({ request }: Context): boolean {
  return request.body === undefined && request.is('application/json') === 'application/json'
}

/**
 * Reads a body whose length was announced, and is small: nearly all there are.
 * @throws AppError `malformed-json` when it ends too early
 */
async function receiveSmall(ctx: Context): Promise<Uint8Array> {
  await readBytes(ctx, async () => {})
  const bytes: unknown = ctx.request.body
  // The body of the app around is its own.
  Reflect.deleteProperty(ctx.request, 'body')
  Reflect.deleteProperty(ctx.request, 'rawBody')
  if (!(bytes instanceof Uint8Array)) throw new Error('koa-bodyparser has left no bytes')
  return bytes
}

interface Reading {
  readonly bytes: Promise<Uint8Array>
  /** Ends it, and lets go of what there is; `bytes` rejects with this. */
  fail(error: unknown): void
}

/**
 * Reads any body, piece by piece.
 * @param check called with the number of bytes that there are, whenever there are more; what it throws ends the reading
 */
function receive(req: IncomingMessage, check: (bytes: number) => void): Reading {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  const chunks: Buffer[] = []
  let length = 0

  function stop(): void {
    req.off('data', take).off('end', finish).off('error', fail).off('close', cutOff)
  }
  function fail(error: unknown): void {
    stop()
    chunks.length = 0
    req.pause()
    reject(error)
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
    const [first = Buffer.alloc(0)] = chunks
    resolve(chunks.length < 2 ? first : Buffer.concat(chunks))
  }
  const cutOff = (): void => fail(new AppError('malformed-json', 'the body was cut off'))

  req.on('data', take).once('end', finish).once('error', fail).once('close', cutOff)
  if (req.destroyed) cutOff()
  return { bytes: promise, fail }
}

/** `bytes`: not parsed yet. `value`: parsed; `text` is the value written again. */
type HostBody =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'value'; readonly value: unknown; readonly text: string }

/** The bytes of `{}` and `[]`. */
const emptyBytes = 2

/**
 * What a body parser of the app around has left of a body that it has read: koa-bodyparser, koa-body, express.json. Its
 * text is taken where it is kept, for the value alone does not say how it was written. A body that was not kept is
 * never taken for an empty one: that would be another request.
 * @param announced bytes; NaN where the request does not say
 * @throws AppError `body-already-read` that says what is to be done in the app
 */
function hostBodyOf(ctx: Context, announced: number): HostBody {
  const raw: unknown = Reflect.get(ctx.request, 'rawBody') ?? Reflect.get(ctx.req, 'rawBody')
  const body: unknown = Reflect.get(ctx.request, 'body') ?? Reflect.get(ctx.req, 'body')
  for (const kept of [raw, body]) {
    if (typeof kept === 'string') return { kind: 'bytes', bytes: Buffer.from(kept) }
    if (kept instanceof Uint8Array) return { kind: 'bytes', bytes: kept }
  }
  // They leave {} also where they have thrown away what there was.
  const isEmpty = typeof body === 'object' && body !== null && Object.keys(body).length === 0
  if (body !== undefined && !(isEmpty && announced !== emptyBytes)) {
    return { kind: 'value', value: body, text: JSON.stringify(body) }
  }
  const remedy = 'mount Forerunner before it, or keep it from reading the bodies of POST /run-tasks'
  throw new AppError(
    'body-already-read',
    `a body parser of the app has read the body and left nothing of it; ${remedy}`,
  )
}

/** Of two, Node takes the first, and a proxy on the way may have taken the other one. */
function contentTypeOf({ req }: Context): string {
  return (req.headersDistinct['content-type'] ?? []).join(', ')
}

function notJson(ctx: Context): AppError {
  const given = contentTypeOf(ctx)
  const detail = given === '' ? 'the body has no Content-Type' : `the body's Content-Type is ${given}`
  return new AppError('unsupported-media-type', `${detail}; it must be application/json in UTF-8`)
}

function notDecodable(ctx: Context): AppError {
  ctx.set('Accept-Encoding', acceptedCodings)
  const detail = `the Content-Encoding ${ctx.get('Content-Encoding')} is not taken; one of ${acceptedCodings} is`
  return new AppError('unsupported-media-type', detail)
}

function noRoom(): AppError {
  return new AppError('overloaded', 'the bodies of other requests take all the room that there is for bodies')
}

function tooSlow(): AppError {
  return new AppError('overloaded', 'the body came slowly while other requests waited for the room that it took')
}
