/**
 * The `traceparent` of W3C Trace Context, which names the span of a caller or of an attempt, and the API of an SDK. Separate
 * from `telemetry.ts` because worker threads load it.
 */
import type { SpanContext } from '@opentelemetry/api'
import { slice } from '../runtime/primordials.ts'

type Api = typeof import('@opentelemetry/api')

/** The API stores its implementations under this symbol once an SDK is registered, in every version so far. */
const registered = Symbol.for('opentelemetry.js.api.1')
let loading: Promise<Api | null> | undefined

/** Loads the API only if this thread has an SDK. @returns null if there is no SDK, or no `@opentelemetry/api` */
export async function loadApi(): Promise<Api | null> {
  const hasSdk = Reflect.get(Object(Reflect.get(globalThis, registered)), 'trace') !== undefined
  return hasSdk ? (loading ??= import('@opentelemetry/api').catch(() => null)) : null
}

/** @returns a function that calls code in the span of its attempt; null if this thread has no SDK */
export async function enterTrace(traceparent: string): Promise<(<Value>(call: () => Value) => Value) | null> {
  const api = await loadApi()
  if (api === null) return null
  const { context, trace, ROOT_CONTEXT } = api
  const own = trace.setSpanContext(ROOT_CONTEXT, spanContextOf(traceparent))
  return (call) => context.with(own, call)
}

export function spanContextOf(traceparent: string): SpanContext {
  const [, traceId = '', spanId = '', flags = ''] = traceparent.split('-')
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
}

/** https://www.w3.org/TR/trace-context/#traceparent-header-field-values: later versions begin with the same fields. */
const form = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}(?:$|-)/
const isTraceparent = form.test.bind(form)
const length = 55

/** @returns the header as version 00; null if it is invalid */
export function parseTraceparent(text: unknown): string | null {
  if (typeof text !== 'string' || !isTraceparent(text)) return null
  const isLater = slice(text, 0, 2) !== '00'
  if (!isLater && text.length > length) return null
  return `00${slice(text, 2, length)}`
}

/** Fields of a log line, named as in OpenTelemetry's JSON. */
export interface TraceFields {
  readonly trace_id?: string
  readonly span_id?: string
}

const none: TraceFields = {}

export function traceFields(traceparent: string | undefined): TraceFields {
  if (traceparent === undefined) return none
  return { trace_id: slice(traceparent, 3, 35), span_id: slice(traceparent, 36, 52) }
}
