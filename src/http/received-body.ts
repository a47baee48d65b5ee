/**
 * A request's body as it came over the wire, for what its text no longer tells. The chunks are the ones that the parser
 * is given too: nothing is copied, and they are let go with the request.
 */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { brotliDecompress, unzip } from 'node:zlib'
import type { Context } from 'koa'

const received = new WeakMap<IncomingMessage, Buffer[]>()

export interface Keeping {
  /** Rejects with what `onTooMuch` makes as soon as the bytes on the wire are more than the limit, and never resolves. */
  readonly tooMuch: Promise<never>
  /** Forgets the bytes. */
  stop(): void
}

/** Call it in the turn in which the body begins to be read. Compressed, even a small text can have endless bytes. */
export function keepBody(req: IncomingMessage, maxBytes: number, onTooMuch: () => Error): Keeping {
  const { promise: tooMuch, reject } = Promise.withResolvers<never>()
  const chunks: Buffer[] = []
  let bytes = 0

  function keep(chunk: Buffer): void {
    bytes += chunk.length
    chunks.push(chunk)
    if (bytes <= maxBytes) return
    stop()
    reject(onTooMuch())
  }

  function stop(): void {
    req.off('data', keep)
    received.delete(req)
    chunks.length = 0
  }

  received.set(req, chunks)
  req.on('data', keep)
  return { tooMuch, stop }
}

/**
 * The SHA-256 of the body's bytes as they were received, compressed or not, in hexadecimal; of nothing for no body.
 * Computed at each call. Where a parser of the app around has read the body first, it is that of the text.
 */
export function bodyDigest(ctx: Context): string {
  const digest = createHash('sha256')
  for (const chunk of received.get(ctx.req) ?? [textOf(ctx)]) digest.update(chunk)
  return digest.digest('hex')
}

const decompress = { gzip: promisify(unzip), deflate: promisify(unzip), br: promisify(brotliDecompress) }

/** Whether there was a body at all: a byte order mark alone has no text, and still is one. */
export function hasBody(ctx: Context): boolean {
  return textOf(ctx) !== '' || (received.get(ctx.req) ?? []).some(({ length }) => length > 0)
}

/**
 * Whether the body was UTF-8. Decoding puts U+FFFD in the place of what is not, so most texts answer at once.
 * @param maxBytes of the text, which was read within that limit
 */
export async function wasUtf8(ctx: Context, maxBytes: number): Promise<boolean> {
  const chunks = received.get(ctx.req)
  if (chunks === undefined || !textOf(ctx).includes('\uFFFD')) return true
  const bytes = Buffer.concat(chunks)
  const encoding = ctx.req.headers['content-encoding'] ?? 'identity'
  const unpack = Reflect.get(decompress, encoding) as (typeof decompress)['gzip'] | undefined
  return isUtf8(unpack === undefined ? bytes : await unpack(bytes, { maxOutputLength: maxBytes }))
}

/** Empty where there is none, or where whoever has parsed it has not kept it. */
export function textOf(ctx: Context): string {
  const { rawBody } = ctx.request
  return typeof rawBody === 'string' ? rawBody : ''
}
