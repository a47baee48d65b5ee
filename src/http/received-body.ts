/** A request's body as it was received and what was made of it, for as long as somebody may ask for it. */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Context } from 'koa'
import { AppError } from '../domain/errors.ts'

const received = new WeakMap<IncomingMessage, Uint8Array | string>()
const values = new WeakMap<IncomingMessage, unknown>()

/** @param body its bytes, or a text of what a parser around this one has made of them */
export function noteBody(req: IncomingMessage, body: Uint8Array | string): void {
  received.set(req, body)
}

export function noteValue(req: IncomingMessage, value: unknown): void {
  values.set(req, value)
}

/** The body parsed; undefined where there is none. Not in `ctx.request.body`, which is that of the app around. */
export function bodyValue(ctx: Context): unknown {
  return values.get(ctx.req)
}

/** While its request waits for an answer, the memory is better used for others. */
export function forgetBody(ctx: Context): void {
  received.delete(ctx.req)
  values.delete(ctx.req)
}

/**
 * The SHA-256 of the body's bytes as they were received, compressed or not, in hexadecimal; of nothing for no body.
 * Computed at each call. Where a parser of the app around has read the body first, it is that of the text that it has
 * kept, or else of the value, written again.
 */
export function bodyDigest(ctx: Context): string {
  const digest = createHash('sha256')
  return digest.update(received.get(ctx.req) ?? '').digest('hex')
}

export interface Reading {
  readonly bytes: Promise<Uint8Array>
  /** Ends it, and lets go of what there is; `bytes` rejects with this. */
  fail(error: unknown): void
}

/**
 * Reads all of a body.
 * @param check called with the number of bytes that there are, whenever there are more; what it throws ends the reading
 */
export function readBytes(req: IncomingMessage, check: (bytes: number) => void): Reading {
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
