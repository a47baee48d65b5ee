/**
 * Load at a fixed rate of arrivals: a request is sent when its time has come, whether or not others are answered, and
 * its latency counts from that time. So a server that stands still is charged for all who came meanwhile, and not for
 * one request per connection (coordinated omission).
 */
import { Agent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { performance } from 'node:perf_hooks'

export interface Stream {
  /** JSON text of each request's body. */
  readonly body: string
  readonly perSecond: number
}

export interface OpenLoopRequest {
  readonly url: string
  readonly seconds: number
  readonly streams: readonly Stream[]
  /** Beside those of JSON. */
  readonly headers?: Readonly<Record<string, string>>
  /** Called with each answer and each failure. */
  readonly onReply?: () => void
}

export interface StreamReport {
  /** From the instant when each request was due to the end of its answer, ascending. */
  readonly latenciesMs: readonly number[]
  /** Statuses other than 200 and 202, connection errors and timeouts. */
  readonly failed: number
  /** The same by what it was, such as `status 503` or `ECONNREFUSED`. */
  readonly failures: Readonly<Record<string, number>>
}

export interface OpenLoopReport {
  /** In the order of the request's. */
  readonly streams: readonly StreamReport[]
  /** How late the generator itself was with each request, ascending; it is part of every latency. */
  readonly latenessMs: readonly number[]
}

interface Arrival {
  readonly stream: number
  /** Since the start. */
  readonly dueMs: number
}

const msPerSecond = 1_000
const timeoutMs = 60_000
/** Beyond that, requests wait here for a connection, which their latency tells too. */
const maxSockets = 1_000

/** All arrivals in order of time; each stream is even, and its first one comes after half a gap. */
export function arrivalsOf(streams: readonly Pick<Stream, 'perSecond'>[], seconds: number): Arrival[] {
  const arrivals = streams.flatMap(({ perSecond }, stream) =>
    Array.from({ length: Math.round(perSecond * seconds) }, (_, index) => ({
      stream,
      dueMs: ((index + 0.5) * msPerSecond) / perSecond,
    })),
  )
  return arrivals.toSorted((a, b) => a.dueMs - b.dueMs)
}

/** Resolves when every request is answered or has failed. */
export async function offer({ url, seconds, streams, headers, onReply }: OpenLoopRequest): Promise<OpenLoopReport> {
  const arrivals = arrivalsOf(streams, seconds)
  const reports = streams.map(() => ({
    latenciesMs: [] as number[],
    failed: 0,
    failures: {} as Record<string, number>,
  }))
  const latenessMs: number[] = []
  const agent = new (url.startsWith('https:') ? HttpsAgent : Agent)({ keepAlive: true, maxSockets })
  const startedAt = performance.now()

  async function send({ stream, dueMs }: Arrival): Promise<void> {
    const report = reports[stream]
    const body = streams[stream]?.body
    if (report === undefined || body === undefined) throw new Error(`there is no stream ${stream}`)
    latenessMs.push(performance.now() - startedAt - dueMs)
    const failure = await post(agent, url, body, headers)
    if (failure === null) report.latenciesMs.push(performance.now() - startedAt - dueMs)
    else {
      report.failed += 1
      report.failures[failure] = (report.failures[failure] ?? 0) + 1
    }
    onReply?.()
  }

  const sent: Promise<void>[] = []
  for (const arrival of arrivals) {
    const waitMs = startedAt + arrival.dueMs - performance.now()
    // Timers know whole milliseconds, and one that rings early would only have to be set again.
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, Math.ceil(waitMs)))
    sent.push(send(arrival))
  }
  await Promise.all(sent)
  agent.destroy()
  for (const { latenciesMs } of reports) latenciesMs.sort((a, b) => a - b)
  return { streams: reports, latenessMs: latenessMs.toSorted((a, b) => a - b) }
}

/** @returns what went wrong; null where it was answered as it should be */
function post(agent: Agent, url: string, body: string, given: OpenLoopRequest['headers']): Promise<string | null> {
  const headers = { ...given, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  return new Promise((resolve) => {
    const fail = (error: NodeJS.ErrnoException): void => resolve(error.code ?? error.message)
    const send = url.startsWith('https:') ? httpsRequest : httpRequest
    const request = send(url, { agent, method: 'POST', headers, timeout: timeoutMs }, (response) => {
      const { statusCode } = response
      response.on('end', () => resolve(statusCode === 200 || statusCode === 202 ? null : `status ${statusCode}`))
      response.on('error', fail)
      response.resume()
    })
    request.on('timeout', () => request.destroy(new Error('no answer within a minute')))
    request.on('error', fail)
    request.end(body)
  })
}

/** 99.9 % of 1,000 are a little more than 999 in binary, and would otherwise be the 1,000th. */
const rounding = 1e-9

/** The value below which this share of the samples lies, by nearest rank. @param sorted ascending */
export function percentile(sorted: ArrayLike<number>, percent: number): number {
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length - rounding))
  return sorted[rank - 1] ?? Number.NaN
}
