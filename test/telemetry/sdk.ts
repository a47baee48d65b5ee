/** An SDK of OpenTelemetry that keeps what it is told; registered in this process until it is disposed of. */
import { context, propagation, trace } from '@opentelemetry/api'
import {
  BatchSpanProcessor,
  InMemorySpanExporter,
  NodeTracerProvider,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-node'

export interface Sdk extends Disposable {
  /** The spans that have ended, in this order. */
  spans(): ReadableSpan[]
  /** Those of this name. */
  named(name: string): ReadableSpan[]
}

/** @param sends `late`: when there are many spans, or it is asked to */
export function registerSdk(sends: 'at once' | 'late' = 'at once'): Sdk {
  const exporter = new InMemorySpanExporter()
  const processor =
    sends === 'late'
      ? new BatchSpanProcessor(exporter, { scheduledDelayMillis: 600_000 })
      : new SimpleSpanProcessor(exporter)
  new NodeTracerProvider({ spanProcessors: [processor] }).register()
  const spans = (): ReadableSpan[] => exporter.getFinishedSpans()
  return {
    spans,
    named: (name) => spans().filter((span) => span.name === name),
    [Symbol.dispose]() {
      trace.disable()
      context.disable()
      propagation.disable()
    },
  }
}
