/** Spans of OpenTelemetry, and the trace that goes with a run. */
import { execFile } from 'node:child_process'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Logger, RunView } from 'forerunner'
import { loadTelemetry } from '../../src/telemetry/telemetry.ts'
import { startTestForerunner } from 'forerunner/testing'
import falters from '../fixtures/traced-tasks/falters.ts'
import { rejects } from '../harness/rejects.ts'
import { create, serve } from '../library/instance.ts'
import { registerSdk } from './sdk.ts'

const tasksDir = fileURLToPath(new URL('../fixtures/traced-tasks/', import.meta.url))
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const spanId = '00f067aa0ba902b7'
const traceparent = `00-${traceId}-${spanId}-01`

interface Line {
  readonly message: string
  readonly trace_id?: string
  readonly span_id?: string
}

function collectLog(): { readonly lines: Line[]; readonly logger: Logger } {
  const lines: Line[] = []
  const write = (fields: object, message: string) => void lines.push({ ...fields, message })
  return { lines, logger: { debug: write, info: write, warn: write, error: write } }
}

async function post(url: string, body: object, headers: Record<string, string> = {}): Promise<RunView> {
  const response = await fetch(`${url}/run-tasks`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  return (await response.json()) as RunView
}

const traced = (run: RunView, index: number): { traceparent: string | null; active: string | null } =>
  run.jobs[index]?.result as { traceparent: string | null; active: string | null }

test('accept, answer and attempts are spans of the trace of the caller', async () => {
  using sdk = registerSdk()
  const { lines, logger } = collectLog()
  await using instance = create({ tasksDir, logger })
  const { forerunner } = instance
  await forerunner.start()
  await using app = await serve(forerunner.middleware())
  const { id } = await post(app.url, { tasks: [{ name: 'traced' }, { name: 'traced' }] }, { traceparent })
  const run = await forerunner.waitForRun(id)

  const [accept] = sdk.named('accept traced')
  const [answer] = sdk.named('answer traced')
  const attempts = sdk.named('process traced')
  assert.is(attempts.length, 2)
  assert.equal([accept?.parentSpanContext?.spanId, accept?.kind], [spanId, SpanKind.PRODUCER])
  const own = accept?.spanContext().spanId
  assert.equal([answer?.parentSpanContext?.spanId, answer?.kind], [own, SpanKind.INTERNAL])
  for (const span of sdk.spans()) assert.is(span.spanContext().traceId, traceId, span.name)
  for (const { kind, parentSpanContext, links, attributes } of attempts) {
    assert.equal([kind, parentSpanContext?.spanId, links[0]?.context.spanId], [SpanKind.CONSUMER, own, own])
    assert.is(attributes['messaging.destination.name'], 'traced')
    assert.is(attributes['messaging.message.id'], `${id}/${String(attributes['forerunner.job.index'])}`)
  }

  for (const index of [0, 1]) {
    const attempt = attempts.find(({ attributes }) => attributes['forerunner.job.index'] === index)
    const attemptId = attempt?.spanContext().spanId
    assert.is(traced(run, index).traceparent, `00-${traceId}-${attemptId}-01`, 'the task can pass it on')
    const line = lines.find(({ message, span_id }) => message === 'in a task' && span_id === attemptId)
    assert.is(line?.trace_id, traceId)
  }
  assert.is(
    traced(run, 0).active,
    attempts.find((span) => span.attributes['forerunner.job.index'] === 0)?.spanContext().spanId,
  )
})

test('each attempt has a span, and one that fails says how', async () => {
  using sdk = registerSdk()
  await using forerunner = await startTestForerunner({ tasks: { falters } })
  await forerunner.enqueue([falters(null, { maxAttempts: 2 })])
  await forerunner.drain()
  const [failed, completed, ...more] = sdk.named('process falters')
  assert.is(more.length, 0)
  assert.equal([failed?.attributes['error.type'], failed?.status.code], ['task_error', SpanStatusCode.ERROR])
  assert.equal([failed?.attributes['forerunner.attempt'], completed?.attributes['forerunner.attempt']], [1, 2])
  assert.equal(completed?.attributes['forerunner.outcome'], 'completed')
  assert.is(failed?.spanContext().traceId, completed?.spanContext().traceId)
})

test('a call inside the process belongs to the span of its caller, and a refusal is seen', async () => {
  using sdk = registerSdk()
  await using forerunner = await startTestForerunner({ tasks: { falters } })
  await trace.getTracer('test').startActiveSpan('order', async (order) => {
    await forerunner.enqueue([falters()])
    await rejects(forerunner.runTasks({ tasks: [{ name: 'nope' as 'falters' }] }), 'unknown-task')
    order.end()
  })
  const [order] = sdk.named('order')
  const [accept] = sdk.named('accept falters')
  const [refused] = sdk.named('accept nope')
  for (const span of [accept, refused]) assert.is(span?.parentSpanContext?.spanId, order?.spanContext().spanId)
  assert.equal([refused?.attributes['error.type'], refused?.status.code], ['unknown-task', SpanStatusCode.ERROR])
})

test('the trace of a run outlives the process', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  const databaseUrl = `sqlite:${join(directory.path, 'jobs.db')}`
  const first = create({ tasksDir, databaseUrl })
  await first.forerunner.start()
  await using app = await serve(first.forerunner.middleware())
  const tasks = [{ name: 'traced', delayMs: 1_000 }]
  const { id } = await post(app.url, { tasks, respond: 'none' }, { traceparent })
  await first.forerunner.stop()
  using sdk = registerSdk()
  await using second = create({ tasksDir, databaseUrl })
  await second.forerunner.start()
  const run = await second.forerunner.waitForRun(id)
  const [attempt] = sdk.named('process traced')
  assert.equal([attempt?.parentSpanContext?.spanId, attempt?.spanContext().traceId], [spanId, traceId])
  assert.is(traced(run, 0).traceparent, `00-${traceId}-${attempt?.spanContext().spanId}-01`)
})

test('has the SDK send its spans before the service has stopped', async () => {
  using sdk = registerSdk('late')
  const { forerunner } = create({ tasksDir })
  await forerunner.start()
  await forerunner.runTasks({ tasks: [{ name: 'traced' }] })
  assert.equal(sdk.spans(), [])
  await forerunner.stop()
  assert.is(sdk.named('process traced').length, 1)
})

test('without an SDK nothing is made, and the trace of the caller reaches the task and the log as it is', async () => {
  assert.is(await loadTelemetry(), null)
  const { lines, logger } = collectLog()
  await using instance = create({ tasksDir, logger })
  const { forerunner } = instance
  await forerunner.start()
  await using app = await serve(forerunner.middleware())
  const body = { tasks: [{ name: 'traced' }, { name: 'traced' }], respond: 'all' }
  const run = await post(app.url, body, { traceparent })
  for (const index of [0, 1]) assert.equal(traced(run, index), { traceparent, active: null })
  const told = lines.filter(({ message }) => message === 'in a task')
  assert.equal(
    told.map(({ trace_id, span_id }) => [trace_id, span_id]),
    [
      [traceId, spanId],
      [traceId, spanId],
    ],
  )
  const noTraces = ['', 'x', `01-${traceId}`, `ff-${traceId}-${spanId}-01`, `00-${'0'.repeat(32)}-${spanId}-01`]
  for (const wrong of [
    ...noTraces,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `${traceparent}-x`,
    traceparent.toUpperCase(),
  ]) {
    const untraced = await post(app.url, body, { traceparent: wrong })
    assert.is(traced(untraced, 0).traceparent, null, wrong)
  }
  const later = await post(app.url, body, { traceparent: `01-${traceId}-${spanId}-01-more` })
  assert.is(traced(later, 1).traceparent, traceparent, 'a later version begins with the same fields')
  const without = await post(app.url, body)
  assert.is(traced(without, 1).traceparent, null)
})

test('a thread with an SDK runs the task in the context of the attempt', async () => {
  const program = `
    import { createForerunner } from 'forerunner'
    await using forerunner = createForerunner({
      databaseUrl: 'sqlite::memory:', tasksDir: ${JSON.stringify(tasksDir)}, logLevel: 'silent', firstJobs: 'pool',
    })
    await forerunner.start()
    const { result } = await forerunner.runTasks({ tasks: [{ name: 'traced' }] })
    console.log(JSON.stringify(result))`
  const register = `data:text/javascript,${encodeURIComponent(
    `import { NodeTracerProvider } from ${JSON.stringify(import.meta.resolve('@opentelemetry/sdk-trace-node'))}
     new NodeTracerProvider().register()`,
  )}`
  const args = ['--import', register, '--input-type=module', '--eval', program]
  const cwd = fileURLToPath(new URL('../..', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd, timeout: 60_000 })
  const told = JSON.parse(stdout) as { traceparent: string; active: string }
  assert.is(told.traceparent.split('-')[2], told.active)
})

test.run()
