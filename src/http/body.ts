/** Reads a request's JSON body within its bounds; the default run is never mistaken for a body that was not read. */
import type { Context, Middleware } from 'koa'
import { AppError } from '../domain/errors.ts'
import { isTooDeep, maxJsonDepth } from '../domain/json-depth.ts'
import type { BodyParser } from './body-parser.ts'
import type { ByteBudget, ByteHold } from './byte-budget.ts'
import { acceptedCodings, parseCoding } from './content-coding.ts'
import { sendContinue } from './expect-continue.ts'
import { hostBodyOf } from './host-body.ts'
import { isJsonInUtf8 } from './media-type.ts'
import type { PackedBody, ParsedBody } from './parse-body.ts'
import { noteBody, noteValue, readBytes, type Reading } from './received-body.ts'
import { isReadSmall, readSmall } from './small-body.ts'

export interface BodyReaderOptions {
  /** Of a body, packed and unpacked. */
  readonly maxBytes: number
  readonly parser: BodyParser
  /** For the bodies of all requests that are not answered yet. */
  readonly budget: ByteBudget
}

/** A body up to this needs no room in the budget: while others have filled it, small requests are served. */
const smallBody = 16_384

/**
 * Takes JSON in UTF-8, which is then known to `bodyValue` and `bodyDigest`.
 * @throws AppError `unsupported-media-type`, `content-too-large`, `malformed-json`, `validation-error` or `overloaded`
 */
export function createBodyReader({ maxBytes, parser, budget }: BodyReaderOptions): Middleware {
  /** @param announced bytes; NaN where the request does not say */
  async function read(ctx: Context, announced: number): Promise<unknown> {
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

    async function parse(body: PackedBody): Promise<unknown> {
      const parsed = await parser.parse(body, maxBytes)
      if (parsed.kind === 'value') check(parsed.bytes)
      return valueOf(parsed, maxBytes)
    }

    function takeHosts(): unknown {
      const body = hostBodyOf(ctx, announced)
      noteBody(ctx.req, body.kind === 'bytes' ? body.bytes : body.text)
      check(body.kind === 'bytes' ? body.bytes.length : 0)
      if (body.kind === 'bytes') return hasText(body.bytes) ? parse({ bytes: body.bytes, coding: null }) : undefined
      if (isTooDeep(body.value)) throw tooDeep()
      return body.value
    }

    function hasText({ length }: Uint8Array): boolean {
      return length > 0 || announced > 0
    }

    // Room for all of it, or it is not read: many that grew together would all be refused in the middle.
    check(announced)
    if (coding === undefined) throw notDecodable(ctx)
    if (ctx.req.readableDidRead) return takeHosts()
    sendContinue(ctx.req, ctx.res)
    if (announced <= smallBody && coding === null && isReadSmall(ctx)) {
      const bytes = await readSmall(ctx)
      noteBody(ctx.req, bytes)
      return parse({ bytes, coding })
    }
    reading = readBytes(ctx.req, (length) => check(Math.max(length, announced || 0)))
    const bytes = await reading.bytes
    noteBody(ctx.req, bytes)
    return hasText(bytes) ? parse({ bytes, coding }) : undefined
  }

  return async (ctx, next) => {
    const isChunked = ctx.get('Transfer-Encoding') !== ''
    const announced = isChunked ? Number.NaN : Number(ctx.get('Content-Length'))
    if (isChunked || announced > 0) noteValue(ctx.req, await read(ctx, announced))
    await next()
  }
}

/** Until then parts of the body are held: its inputs, and what was made of them. */
function holdUntilAnswered({ req, res }: Context, budget: ByteBudget, cutOff: () => void): ByteHold {
  const hold = budget.open({ moved: () => req.socket.bytesRead, isAwaited: () => !req.complete, cutOff })
  if (res.closed) hold.release()
  else res.once('close', hold.release)
  return hold
}

function valueOf(parsed: ParsedBody, maxBytes: number): unknown {
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
