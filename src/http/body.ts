/** Reads a request's JSON body within its bounds; the default run is never mistaken for a body that was not read. */
import bodyParser from 'koa-bodyparser'
import type { Context, Middleware } from 'koa'
import { AppError } from '../domain/errors.ts'
import { isTooDeep, maxJsonDepth } from '../domain/json-depth.ts'
import type { BodyParser } from './body-parser.ts'
import { sendContinue } from './expect-continue.ts'
import type { ParsedBody } from './parse-body.ts'
import { hasBody, keepBody, textOf, wasUtf8 } from './received-body.ts'

const jsonType = /^application\/json\s*(?:;|$)/i
const charset = /;\s*charset\s*=\s*"?(?<name>[^\s";]+)/i

/**
 * Takes JSON in UTF-8, and as RFC 8259 allows, passes over a byte order mark. Its bytes are then known to `bodyDigest`.
 * Puts the parsed body in `ctx.request.body`, `undefined` when it is empty.
 * @throws AppError `unsupported-media-type`, `content-too-large`, `malformed-json` or `validation-error`
 */
export function createBodyReader(maxBytes: number, parser: BodyParser): Middleware {
  const options = {
    onerror: (error: Error, ctx: Context): never => {
      throw problemOf(error, ctx, maxBytes)
    },
  }
  const limit = String(maxBytes)
  const readJson = bodyParser({
    ...options,
    enableTypes: ['text'],
    textLimit: limit,
    extendTypes: { text: ['application/json'] },
  })
  // What is not declared as JSON, only to see whether there is anything; the value that it makes of it is not looked at.
  const readAny = bodyParser({
    ...options,
    enableTypes: ['json'],
    jsonLimit: limit,
    strict: false,
    detectJSON: () => true,
  })

  async function read(ctx: Context): Promise<void> {
    const keeping = keepBody(ctx.req, maxBytes, () => (isDeclaredJson(ctx) ? tooLarge(maxBytes) : notJson(ctx)))
    sendContinue(ctx.req, ctx.res)
    // As the first asks by itself, which would read nothing.
    const readText = ctx.request.is('application/json') ? readJson : readAny
    try {
      await Promise.race([readText(ctx, async () => {}), keeping.tooMuch])
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
    const isParsed = ctx.request.body !== undefined
    if (!isParsed) await read(ctx)
    const isEmpty = !hasBody(ctx)
    if (!isEmpty && !isJson) throw notJson(ctx)
    if (isEmpty) ctx.request.body = undefined
    else if (ctx.request.rawBody === '') throw new AppError('malformed-json', 'the body has no text')
    else if (!isParsed) ctx.request.body = valueOf(await parser.parse(textOf(ctx)))
    else if (isTooDeep(ctx.request.body)) throw tooDeep()
    await next()
  }
}

function valueOf(parsed: ParsedBody): unknown {
  if (parsed.kind === 'value') return parsed.value
  throw parsed.kind === 'too-deep' ? tooDeep() : malformed(parsed.reason)
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
  return malformed(error instanceof Error ? error.message : String(error), error)
}

function malformed(reason: string, cause?: unknown): AppError {
  return new AppError('malformed-json', `the body could not be read as JSON: ${reason}`, { cause })
}

function tooDeep(): AppError {
  const detail = `the body is nested more than ${maxJsonDepth} levels deep`
  return new AppError('validation-error', detail, {
    members: { errors: [{ pointer: '', detail: `at most ${maxJsonDepth} levels of nesting` }] },
  })
}
