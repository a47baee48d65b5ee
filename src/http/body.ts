/** Reads a request's JSON body within its bounds; the default run is never mistaken for a body that was not read. */
import bodyParser from 'koa-bodyparser'
import type { Context, Middleware } from 'koa'
import { AppError } from '../domain/errors.ts'
import { sendContinue } from './expect-continue.ts'
import { hasBody, keepBody, wasUtf8 } from './received-body.ts'

/** Nesting above this is refused before anything recursive sees the body. */
const maxDepth = 200

const jsonType = /^application\/json\s*(?:;|$)/i
const charset = /;\s*charset\s*=\s*"?(?<name>[^\s";]+)/i

/**
 * Takes JSON in UTF-8, and as RFC 8259 allows, passes over a byte order mark. Its bytes are then known to `bodyDigest`.
 * Puts the parsed body in `ctx.request.body`, `undefined` when it is empty.
 * @throws AppError `unsupported-media-type`, `content-too-large`, `malformed-json` or `validation-error`
 */
export function createBodyReader(maxBytes: number): Middleware {
  const options = {
    enableTypes: ['json'],
    jsonLimit: String(maxBytes),
    strict: false,
    // The media type is checked here: what is not declared as JSON is read only to see whether it is empty.
    detectJSON: () => true,
    // Passed on to the parser beneath, and missing in the types. Members named __proto__ are kept as plain data; nothing here merges objects.
    onProtoPoisoning: 'ignore',
    onerror: (error: Error, ctx: Context): never => {
      throw problemOf(error, ctx, maxBytes)
    },
  }
  const parse = bodyParser(options)

  async function read(ctx: Context): Promise<void> {
    const keeping = keepBody(ctx.req, maxBytes, () => (isDeclaredJson(ctx) ? tooLarge(maxBytes) : notJson(ctx)))
    sendContinue(ctx.req, ctx.res)
    try {
      await Promise.race([parse(ctx, async () => {}), keeping.tooMuch])
    } catch (error) {
      keeping.stop()
      throw error
    }
    if (!(await wasUtf8(ctx, maxBytes))) throw new AppError('malformed-json', 'the body is not valid UTF-8')
  }

  return async (ctx, next) => {
    const isJson = isDeclaredJson(ctx)
    const announced = Number(ctx.get('Content-Length'))
    if (!isJson && announced > 0) throw notJson(ctx)
    if (announced > maxBytes) throw tooLarge(maxBytes)
    // A parser of the app around this one leaves {} where it has read nothing.
    if (ctx.request.rawBody === undefined && !ctx.req.readableEnded) ctx.request.body = undefined
    if (ctx.request.body === undefined) await read(ctx)
    const { body, rawBody } = ctx.request
    const isEmpty = !hasBody(ctx)
    if (!isEmpty && !isJson) throw notJson(ctx)
    if (isEmpty) ctx.request.body = undefined
    else if (rawBody === '') throw new AppError('malformed-json', 'the body has no text')
    else if (isTooDeep(body)) {
      throw new AppError('validation-error', `the body is nested more than ${maxDepth} levels deep`, {
        members: { errors: [{ pointer: '', detail: `at most ${maxDepth} levels of nesting` }] },
      })
    }
    await next()
  }
}

function isDeclaredJson(ctx: Context): boolean {
  const type = ctx.get('Content-Type')
  const name = charset.exec(type)?.groups?.['name']
  return jsonType.test(type) && (name === undefined || name.toLowerCase() === 'utf-8')
}

function notJson(ctx: Context): AppError {
  const given = ctx.get('Content-Type')
  const detail = given === '' ? 'the body has no Content-Type' : `the body's Content-Type is ${given}`
  return new AppError('unsupported-media-type', `${detail}; it must be application/json in UTF-8`)
}

function tooLarge(maxBytes: number, cause?: unknown): AppError {
  return new AppError('content-too-large', `the body is larger than ${maxBytes} bytes`, { cause })
}

function problemOf(error: unknown, ctx: Context, maxBytes: number): AppError {
  if (!isDeclaredJson(ctx)) return notJson(ctx)
  const status: unknown = Reflect.get(Object(error), 'status')
  if (status === 413) return tooLarge(maxBytes, error)
  if (status === 415) {
    const encoding = ctx.get('Content-Encoding')
    return new AppError('unsupported-media-type', `the Content-Encoding ${encoding} is not known`, { cause: error })
  }
  const message = error instanceof Error ? error.message : String(error)
  return new AppError('malformed-json', `the body could not be read as JSON: ${message}`, { cause: error })
}

/** Without recursion, so that no depth can exhaust the stack. */
function isTooDeep(body: unknown): boolean {
  let level = [body]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth >= maxDepth) return true
    level = level.flatMap((value) => (isContainer(value) ? Object.values(value).filter(isContainer) : []))
  }
  return false
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
