/**
 * Spans of OpenTelemetry, named as its conventions for messaging want it: `accept` for the commit of a run, `answer` for
 * the wait after it, `process` for each attempt, which has the accepting span for its parent and as a link.
 * https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Attributes, Context, Span } from '@opentelemetry/api'
import type { ClaimedJob, AttemptOutcome } from '../domain/claim.ts'
import { AppError } from '../domain/errors.ts'
import type { RunRequest } from '../domain/run/new-run.ts'
import type { RunRecord } from '../domain/run.ts'
import { parseTraceparent, hasSdk, loadApi } from './trace-context.ts'
import { version } from '../runtime/package.ts'

interface SubmitOptions {
  readonly traceparent?: string | null
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
type Place = (job: ClaimedJob) => Promise<AttemptOutcome>
type Execute<Rest extends readonly unknown[]> = (job: ClaimedJob, place: Place, ...rest: Rest) => Promise<void>

export interface Telemetry {
  /** The same, with a span for the commit and one for the answer; what they have for a parent goes with the run. */
  traceSubmit<Options extends SubmitOptions, Result extends Accepted>(
    submit: Submit<Options, Result>,
  ): Submit<Options, Result>
  /** The same, with a span for each attempt, in whose context the place runs it. */
  traceExecute<Rest extends readonly unknown[]>(execute: Execute<Rest>): Execute<Rest>
  /** Headers with the span of the code that calls. */
  inject(headers: Readonly<Record<string, string>>): Record<string, string>
  /** Has the SDK send what it keeps, for up to a second: the process may be about to end. */
  flush(): Promise<void>
}

const flushLimitMs = 1_000
const system = { 'messaging.system': 'forerunner' }

/** @returns null where no SDK is registered: then nothing is loaded, and nothing is paid for it */
export async function loadTelemetry(): Promise<Telemetry | null> {
  const api = hasSdk() ? await loadApi() : null
  if (api === null) return null
  const { context, propagation, trace, ProxyTracerProvider, SpanKind, SpanStatusCode, ROOT_CONTEXT, TraceFlags } = api
  const tracer = trace.getTracer('forerunner', version)

  /** That of the code that calls, where a span is under way; else what the header names. */
  function callerContext(traceparent: string | null | undefined): Context {
    const active = context.active()
    return trace.getSpan(active) === undefined ? remoteContext(traceparent) : active
  }

  function remoteContext(traceparent: string | null | undefined): Context {
    const known = parseTraceparent(traceparent)
    if (known === null) return ROOT_CONTEXT
    const [, traceId = '', spanId = '', flags = ''] = known.split('-')
    const traceFlags = Number.parseInt(flags, 16) & TraceFlags.SAMPLED
    return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true })
  }

  function traceparentOf(span: Span): string {
    const { traceId, spanId, traceFlags } = span.spanContext()
    return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
  }

  function fail(span: Span, type: string, message: string): void {
    span.setAttribute('error.type', type)
    span.setStatus({ code: SpanStatusCode.ERROR, message })
  }

  function endAttempt(span: Span, outcome: AttemptOutcome): void {
    if (outcome === 'released') span.setAttribute('forerunner.outcome', 'released')
    else if (outcome.ok) span.setAttribute('forerunner.outcome', 'completed')
    else {
      const { code, message } = outcome.error
      span.setAttribute('forerunner.outcome', 'failed')
      fail(span, code, message)
    }
    span.end()
  }

  return {
    traceSubmit(submit) {
      return async (request, options) => {
        const parent = callerContext(options.traceparent)
        const task = request.tasks[0]?.name ?? ''
        const startedAt = Date.now()
        const count = request.tasks.length
        const attributes = {
          ...system,
          'messaging.operation.type': 'send',
          'messaging.operation.name': 'accept',
          'messaging.destination.name': task,
          ...(count > 1 && { 'messaging.batch.message_count': count }),
        }
        const span = tracer.startSpan(
          `accept ${task}`,
          { kind: SpanKind.PRODUCER, startTime: startedAt, attributes },
          parent,
        )
        try {
          const accepted = await submit(request, { ...options, traceparent: traceparentOf(span) })
          const { run, answerMs, isReplayed } = accepted
          const ids: Attributes = { 'forerunner.run.id': run.id }
          span.setAttributes(isReplayed ? { ...ids, 'forerunner.replayed': true } : ids)
          const endedAt = Date.now()
          const committedAt = endedAt - (answerMs ?? 0)
          span.end(committedAt)
          if (answerMs !== null) {
            const own = trace.setSpan(parent, span)
            const answer = tracer.startSpan(`answer ${task}`, { startTime: committedAt, attributes: ids }, own)
            const status = run.answer?.status ?? 200
            if (status !== 200) fail(answer, String(status), 'the answer is a failure')
            answer.end(endedAt)
          }
          return accepted
        } catch (error) {
          fail(span, error instanceof AppError ? error.code : 'internal', String(error))
          span.end()
          throw error
        }
      }
    },
    traceExecute(execute) {
      return (job, place, ...rest) => {
        const { task, runId, jobIndex, attempt } = job
        const creation = remoteContext(job.traceparent)
        const created = trace.getSpanContext(creation)
        const attributes = {
          ...system,
          'messaging.operation.type': 'process',
          'messaging.operation.name': 'process',
          'messaging.destination.name': task,
          'messaging.message.id': `${runId}/${jobIndex}`,
          'forerunner.run.id': runId,
          'forerunner.job.index': jobIndex,
          'forerunner.attempt': attempt,
        }
        const links = created === undefined ? [] : [{ context: created }]
        const span = tracer.startSpan(`process ${task}`, { kind: SpanKind.CONSUMER, attributes, links }, creation)
        const own = trace.setSpan(creation, span)
        async function tracedPlace(traced: ClaimedJob): Promise<AttemptOutcome> {
          const outcome = await context.with(own, () => place(traced))
          endAttempt(span, outcome)
          return outcome
        }
        return execute({ ...job, traceparent: traceparentOf(span) }, tracedPlace, ...rest)
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
      // What cannot be sent is for the SDK to report.
      const flushing = (async () => Reflect.apply(forceFlush, own, []) as unknown)().catch(() => {})
      await Promise.race([flushing, sleep(flushLimitMs, undefined, { ref: false })])
    },
  }
}
