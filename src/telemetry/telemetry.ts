/**
 * Spans of OpenTelemetry, named by its conventions for messaging: `accept` for the commit of a run, `answer` for the wait
 * after it, `process` for each attempt, which has the `accept` span as its parent and as a link.
 * https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Context, Span } from '@opentelemetry/api'
import type { AttemptOutcome, ClaimedJob, RunAttempt } from '../domain/claim.ts'
import { AppError } from '../domain/errors.ts'
import type { RunRequest } from '../domain/run/new-run.ts'
import type { RunRecord } from '../domain/run.ts'
import { version } from '../runtime/package.ts'
import { loadApi, parseTraceparent, spanContextOf } from './trace-context.ts'

interface SubmitOptions {
  readonly traceparent: string | null
}

interface Accepted {
  readonly run: RunRecord
  readonly answerMs: number | null
  readonly isReplayed: boolean
}

type Submit<Options extends SubmitOptions, Result extends Accepted> = (
  request: RunRequest,
  options: Options,
) => Promise<Result>
type Execute<Rest extends readonly unknown[]> = (job: ClaimedJob, run: RunAttempt, ...rest: Rest) => Promise<void>

export interface Telemetry {
  /** Wraps a submit in a span for the commit and one for the answer. The run carries the first one to its attempts. */
  traceSubmit<Options extends SubmitOptions, Result extends Accepted>(
    submit: Submit<Options, Result>,
  ): Submit<Options, Result>
  /** Wraps each attempt in a span, and runs it in the context of that span. */
  traceExecute<Rest extends readonly unknown[]>(execute: Execute<Rest>): Execute<Rest>
  /** Adds the caller's span to the headers. */
  inject(headers: Readonly<Record<string, string>>): Record<string, string>
  /** Makes the SDK send its spans, for up to a second: the process may be about to end. */
  flush(): Promise<void>
}

const flushLimitMs = 1_000

/** @returns null if no SDK is registered: then nothing is loaded, and tracing costs nothing */
export async function loadTelemetry(): Promise<Telemetry | null> {
  const api = await loadApi()
  if (api === null) return null
  const { context, propagation, trace, ProxyTracerProvider, SpanKind, SpanStatusCode, ROOT_CONTEXT, TraceFlags } = api
  const tracer = trace.getTracer('forerunner', version)

  /** The active span of the calling code, or else the span that the header names. */
  function callerContext(traceparent: string | null | undefined): Context {
    const active = context.active()
    return trace.getSpan(active) === undefined ? remoteContext(traceparent) : active
  }

  function remoteContext(traceparent: string | null | undefined): Context {
    const valid = parseTraceparent(traceparent)
    if (valid === null) return ROOT_CONTEXT
    const spanContext = spanContextOf(valid)
    const traceFlags = spanContext.traceFlags & TraceFlags.SAMPLED
    return trace.setSpanContext(ROOT_CONTEXT, { ...spanContext, traceFlags })
  }

  function traceparentOf(span: Span): string {
    const { traceId, spanId, traceFlags } = span.spanContext()
    return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
  }

  function fail(span: Span, type: string, message: string): void {
    span.setAttribute('error.type', type)
    span.setStatus({ code: SpanStatusCode.ERROR, message })
  }

  function startAccept(task: string, taskCount: number, parent: Context): Span {
    const attributes = {
      ...messagingAttributes('send', 'accept', task),
      ...(taskCount > 1 && { 'messaging.batch.message_count': taskCount }),
    }
    return tracer.startSpan(`accept ${task}`, { kind: SpanKind.PRODUCER, startTime: Date.now(), attributes }, parent)
  }

  /** Ends the span at the commit; the time after it is the span of the answer. */
  function endAccept(span: Span, task: string, { run, answerMs, isReplayed }: Accepted, parent: Context): void {
    const attributes = { 'forerunner.run.id': run.id }
    const endedAt = Date.now()
    const committedAt = endedAt - (answerMs ?? 0)
    span.setAttributes({ ...attributes, ...(isReplayed && { 'forerunner.replayed': true }) })
    span.end(committedAt)
    if (answerMs === null) return
    const options = { startTime: committedAt, attributes }
    const answerSpan = tracer.startSpan(`answer ${task}`, options, trace.setSpan(parent, span))
    const status = run.answer?.status ?? 200
    if (status !== 200) fail(answerSpan, String(status), 'the answer is a failure')
    answerSpan.end(endedAt)
  }

  function startAttempt({ task, runId, jobIndex, attempt }: ClaimedJob, parent: Context): Span {
    const accept = trace.getSpanContext(parent)
    const links = accept === undefined ? [] : [{ context: accept }]
    const attributes = {
      ...messagingAttributes('process', 'process', task),
      'messaging.message.id': `${runId}/${jobIndex}`,
      'forerunner.run.id': runId,
      'forerunner.job.index': jobIndex,
      'forerunner.attempt': attempt,
    }
    return tracer.startSpan(`process ${task}`, { kind: SpanKind.CONSUMER, attributes, links }, parent)
  }

  function endAttempt(span: Span, outcome: AttemptOutcome): void {
    if (outcome === 'released') span.setAttribute('forerunner.outcome', 'released')
    else if (outcome.ok) span.setAttribute('forerunner.outcome', 'completed')
    else {
      span.setAttribute('forerunner.outcome', 'failed')
      fail(span, outcome.error.code, outcome.error.message)
    }
    span.end()
  }

  return {
    traceSubmit(submit) {
      return async (request, options) => {
        const parent = callerContext(options.traceparent)
        const task = request.tasks[0]?.name ?? ''
        const span = startAccept(task, request.tasks.length, parent)
        try {
          const accepted = await submit(request, { ...options, traceparent: traceparentOf(span) })
          endAccept(span, task, accepted, parent)
          return accepted
        } catch (error) {
          fail(span, error instanceof AppError ? error.code : 'internal', String(error))
          span.end()
          throw error
        }
      }
    },
    traceExecute(execute) {
      return (job, run, ...rest) => {
        const parent = remoteContext(job.traceparent)
        const span = startAttempt(job, parent)
        async function runTraced(traced: ClaimedJob): Promise<AttemptOutcome> {
          const outcome = await context.with(trace.setSpan(parent, span), () => run(traced))
          endAttempt(span, outcome)
          return outcome
        }
        return execute({ ...job, traceparent: traceparentOf(span) }, runTraced, ...rest)
      }
    },
    inject(headers) {
      const injected = { ...headers }
      propagation.inject(context.active(), injected)
      return injected
    },
    async flush() {
      const provider = trace.getTracerProvider()
      const own: unknown = provider instanceof ProxyTracerProvider ? provider.getDelegate() : provider
      const forceFlush: unknown = Reflect.get(Object(own), 'forceFlush')
      if (typeof forceFlush !== 'function') return
      // The SDK itself reports spans that cannot be sent.
      const flushing = (async () => Reflect.apply(forceFlush, own, []) as unknown)().catch(() => {})
      await Promise.race([flushing, sleep(flushLimitMs, undefined, { ref: false })])
    },
  }
}

function messagingAttributes(type: 'send' | 'process', name: 'accept' | 'process', task: string) {
  return {
    'messaging.system': 'forerunner',
    'messaging.operation.type': type,
    'messaging.operation.name': name,
    'messaging.destination.name': task,
  }
}
