/** An SDK of OpenTelemetry that keeps what it is told; registered in this process until it is disposed of. */
import { context, propagation, trace } from '@opentelemetry/api'
import {
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

export function registerSdk(): Sdk {
  const exporter = new InMemorySpanExporter()
  new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register()
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
