/** The `traceparent` of W3C Trace Context, which names a span: of whoever has asked for a run, or of an attempt. */
import { slice } from './primordials.ts'

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
