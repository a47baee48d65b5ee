/**
 * Apart from `telemetry.ts`, because worker threads load it: the `traceparent` of W3C Trace Context, which names the span of
 * a caller or of an attempt, and the API of an SDK.
 */
import { slice } from '../runtime/primordials.ts'

/** Makes the span of an attempt that of the task's own code, on a thread that has an SDK of its own. */
type CallInTrace = <Value>(call: () => Value) => Value

/** @returns null where there is no SDK, and nothing to do */
export async function enterTrace(traceparent: string): Promise<CallInTrace | null> {
  const api = hasSdk() ? await loadApi() : null
  if (api === null) return null
  const { context, trace, ROOT_CONTEXT } = api
  const [, traceId = '', spanId = '', flags = ''] = traceparent.split('-')
  const traceFlags = Number.parseInt(flags, 16)
  const own = trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true })
  return (call) => context.with(own, call)
}

/** What the API keeps there, in its first version as in all so far, is there when an SDK was registered. */
const registered = Symbol.for('opentelemetry.js.api.1')
let loading: Promise<typeof import('@opentelemetry/api') | null> | undefined

export function hasSdk(): boolean {
  return Reflect.get(Object(Reflect.get(globalThis, registered)), 'trace') !== undefined
}

/** `@opentelemetry/api`; only where this thread has an SDK, else it is not even loaded. @returns null where there is none */
export function loadApi(): Promise<typeof import('@opentelemetry/api') | null> {
  return (loading ??= import('@opentelemetry/api').catch(() => null))
}

/** https://www.w3.org/TR/trace-context/#traceparent-header-field-values: later versions begin with the same fields. */
const form = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}(?:$|-)/
const isTraceparent = form.test.bind(form)
const length = 55

/** @returns what is to be passed on, as version 00; null for what is none */
export function parseTraceparent(text: unknown): string | null {
  if (typeof text !== 'string' || !isTraceparent(text)) return null
  const isLater = slice(text, 0, 2) !== '00'
  if (!isLater && text.length > length) return null
  return `00${slice(text, 2, length)}`
}

/** Of a line of the log, named as OpenTelemetry names them in JSON. */
export interface TraceFields {
  readonly trace_id?: string
  readonly span_id?: string
}

const none: TraceFields = {}

export function traceFields(traceparent: string | undefined): TraceFields {
  if (traceparent === undefined) return none
  return { trace_id: slice(traceparent, 3, 35), span_id: slice(traceparent, 36, 52) }
}
