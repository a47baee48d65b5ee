/** The task's side of a trace. */
import { hasSdk, loadApi } from './api.ts'

/** Makes the span of an attempt that of the task's own code, on a thread that has an SDK of its own. */
export type CallInTrace = <Value>(call: () => Value) => Value

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
