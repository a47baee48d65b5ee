/** Reads a request's JSON body within its bounds; the default run is never mistaken for a body that was not read. */
import { hash } from 'node:crypto'
import type { Context } from 'koa'
import { AppError } from '../../domain/errors.ts'
import { isTooDeep, maxJsonDepth } from '../../domain/json.ts'
import type { ByteBudget, ByteHold } from '../byte-budget.ts'
import { acceptedCodings, isJsonInUtf8, parseCoding } from '../request-head.ts'
import type { BodyParser } from './body-parser.ts'
import type { PackedBody, ParsedBody } from './parse-body.ts'
import { hostBodyOf, isReadSmall, type Reading, receive, receiveSmall, sendContinue } from './receive.ts'

export interface BodyReaderOptions {
  /** Of a body, packed and unpacked. */
  readonly maxBytes: number
  readonly parser: BodyParser
  /** For the bodies of all requests that are not answered yet. */
  readonly budget: ByteBudget
}

/** To be let go before a request waits for its answer: the memory is better used for others. */
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
    // The room is held until the answer; what was read for it need not be.
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

/** @throws AppError where it is not what it says, or says nothing that could be read */
export function valueOf(parsed: ParsedBody, maxBytes: number): unknown {
  switch (parsed.kind) {
    case 'value':
      return parsed.value
    case 'too-deep':
      throw tooDeep()
    case 'too-large':
      throw tooLarge(maxBytes)
    case 'lossy': {
      const [first] = parsed.issues
      const detail = `${first?.pointer}: ${first?.detail}`
      throw new AppError('validation-error', detail, { members: { errors: parsed.issues } })
    }
    case 'malformed':
      throw new AppError('malformed-json', `the body could not be read as JSON: ${parsed.reason}`)
  }
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

function tooLarge(maxBytes: number): AppError {
  return new AppError('content-too-large', `the body is larger than ${maxBytes} bytes`)
}

function tooDeep(): AppError {
  const detail = `the body is nested more than ${maxJsonDepth} levels deep`
  return new AppError('validation-error', detail, {
    members: { errors: [{ pointer: '', detail: `at most ${maxJsonDepth} levels of nesting` }] },
  })
}
