/** Reads small bodies as they came: nearly all there are. Larger, packed and chunked ones are read piece by piece. */
import bodyParser from 'koa-bodyparser'
import type { Context } from 'koa'
import { AppError } from '../domain/errors.ts'

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

/** Whether `readSmall` would read the body, which leaves alone what a parser of the app around has begun. */
export function isReadSmall({ request }: Context): boolean {
  return request.body === undefined && request.is('application/json') === 'application/json'
}

/** @throws AppError `malformed-json` when it ends too early */
export async function readSmall(ctx: Context): Promise<Uint8Array> {
  await readBytes(ctx, async () => {})
  const bytes: unknown = ctx.request.body
  // The body of the app around is its own.
  Reflect.deleteProperty(ctx.request, 'body')
  Reflect.deleteProperty(ctx.request, 'rawBody')
  if (!(bytes instanceof Uint8Array)) throw new Error('koa-bodyparser has left no bytes')
  return bytes
}
