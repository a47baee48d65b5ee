/**
 * Load at a fixed rate of arrivals: each request is sent when it is due, whether or not the others have got a response,
 * and its latency counts from that instant. A generator that waits for a response before it sends the next request would
 * send fewer of them to a slow server, and hide the delay (coordinated omission).
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
  /** Added to those of a JSON body. */
  readonly headers?: Readonly<Record<string, string>>
  /** Called after each response and each failure. */
  readonly onReply?: () => void
}

export interface StreamReport {
  /** From the instant when a request was due to the end of its response, ascending. */
  readonly latenciesMs: readonly number[]
  /** Number of other statuses than 200 and 202, of connection errors and of timeouts. */
  readonly failed: number
  /** The same by cause, such as `status 503` or `ECONNREFUSED`. */
  readonly failures: Readonly<Record<string, number>>
}

export interface OpenLoopReport {
  /** In the order of the requested streams. */
  readonly streams: readonly StreamReport[]
  /** How late the generator sent each request, ascending; each latency includes it. */
  readonly latenessMs: readonly number[]
}

const msPerSecond = 1_000
const timeoutMs = 60_000
/** Requests beyond this number wait for a free connection; their latency includes the wait. */
const maxSockets = 1_000

/** All arrivals in order of time since the start. Those of a stream are evenly spaced; the first comes after half a gap. */
export function arrivalsOf(streams: readonly Pick<Stream, 'perSecond'>[], seconds: number) {
  const arrivals = streams.flatMap(({ perSecond }, stream) =>
    Array.from({ length: Math.round(perSecond * seconds) }, (_, index) => ({
      stream,
      dueMs: ((index + 0.5) * msPerSecond) / perSecond,
    })),
  )
  return arrivals.toSorted((a, b) => a.dueMs - b.dueMs)
}

/** Resolves when every request has its response or has failed. */
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

  async function send({ stream, dueMs }: (typeof arrivals)[number]): Promise<void> {
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
    // Timers count whole milliseconds: rounded down, one would fire early and have to be set again.
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, Math.ceil(waitMs)))
    sent.push(send(arrival))
  }
  await Promise.all(sent)
  agent.destroy()
  for (const { latenciesMs } of reports) latenciesMs.sort((a, b) => a - b)
  return { streams: reports, latenessMs: latenessMs.toSorted((a, b) => a - b) }
}

/** @returns the cause of a failure; null for a response with status 200 or 202 */
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
    request.on('timeout', () => request.destroy(new Error('no response within a minute')))
    request.on('error', fail)
    request.end(body)
  })
}

/** `99.9 / 100 * 1000` is slightly more than 999 in floating point. Without this it would be rounded up to rank 1,000. */
const rounding = 1e-9

/** Percentile by nearest rank; NaN without samples. @param sorted ascending */
export function percentile(sorted: ArrayLike<number>, percent: number): number {
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length - rounding))
  return sorted[rank - 1] ?? Number.NaN
}
