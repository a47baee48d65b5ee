/** The bytes of a body, wherever they are to be had: each is read once, and kept once. */
import bodyParser from 'koa-bodyparser'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context } from 'koa'
import { AppError } from '../../domain/errors.ts'

// Without an encoding it leaves the bytes: they are parsed once, strictly, and no text is kept beside them. Its types
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
export function isReadSmall({ request }: Context): boolean {
  return request.body === undefined && request.is('application/json') === 'application/json'
}

/**
 * Reads a body whose length was announced, and is small: nearly all there are.
 * @throws AppError `malformed-json` when it ends too early
 */
export async function receiveSmall(ctx: Context): Promise<Uint8Array> {
  await readBytes(ctx, async () => {})
  const bytes: unknown = ctx.request.body
  // The body of the app around is its own.
  Reflect.deleteProperty(ctx.request, 'body')
  Reflect.deleteProperty(ctx.request, 'rawBody')
  if (!(bytes instanceof Uint8Array)) throw new Error('koa-bodyparser has left no bytes')
  return bytes
}

export interface Reading {
  readonly bytes: Promise<Uint8Array>
  /** Ends it, and lets go of what there is; `bytes` rejects with this. */
  fail(error: unknown): void
}

/**
 * Reads any body, piece by piece.
 * @param check called with the number of bytes that there are, whenever there are more; what it throws ends the reading
 */
export function receive(req: IncomingMessage, check: (bytes: number) => void): Reading {
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
export type HostBody =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'value'; readonly value: unknown; readonly text: string }

/** The bytes of `{}` and `[]`. */
const emptyBytes = 2

/**
 * What a body parser of the app around has left of a body that it has read: koa-bodyparser, koa-body, express.json. Its
 * text is taken where it is kept, for a value no longer tells what was written. What nobody has kept is never taken for
 * no body at all: that would be another request.
 * @param announced bytes; NaN where the request does not say
 * @throws AppError `body-already-read` that says what is to be done in the app
 */
export function hostBodyOf(ctx: Context, announced: number): HostBody {
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

/** Requests whose clients ask before they send their body (RFC 9110, 10.1.1). */
const asking = new WeakSet<IncomingMessage>()

/** Node leaves the go-ahead to us. An answer without it ends the connection, which Node sees to. */
export function noteExpectation(request: IncomingMessage): void {
  asking.add(request)
}

/** Call it when nothing but the body itself can still be refused. */
export function sendContinue(request: IncomingMessage, response: ServerResponse): void {
  if (asking.delete(request)) response.writeContinue()
}
