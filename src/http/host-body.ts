/** What a body parser of the app around has left of a body that it has read: koa-bodyparser, koa-body, express.json. */
import type { Context } from 'koa'
import { AppError } from '../domain/errors.ts'

/** `bytes`: not parsed yet. `value`: parsed; `text` is the value written again. */
export type HostBody =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'value'; readonly value: unknown; readonly text: string }

/** The bytes of `{}` and `[]`. */
const emptyBytes = 2

/**
 * Its text is taken where it is kept, for a value no longer tells what was written. What nobody has kept is never taken
 * for no body at all: that would be another request.
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
  if (body === undefined || (isEmpty(body) && announced !== emptyBytes)) throw lost()
  return { kind: 'value', value: body, text: JSON.stringify(body) }
}

function isEmpty(body: unknown): boolean {
  return typeof body === 'object' && body !== null && Object.keys(body).length === 0
}

function lost(): AppError {
  const remedy = 'mount Forerunner before it, or keep it from reading the bodies of POST /run-tasks'
  return new AppError(
    'body-already-read',
    `a body parser of the app has read the body and left nothing of it; ${remedy}`,
  )
}
