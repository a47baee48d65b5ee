/** The process of the load generator. Its parent sends it what to do; it ends when its parent is gone. */
import { setPriority } from 'node:os'
import autocannon from 'autocannon'
import { offer, type OpenLoopReport, type OpenLoopRequest, percentile } from '../../src/cli/open-loop.ts'
import type { GeneratorMessage, LoadReport, LoadRequest } from './load.ts'

const timeoutS = 30
const sampleMs = 50
const usPerMs = 1_000
const openLoopPriority = -10

async function run({ url, body, connections, seconds }: LoadRequest): Promise<LoadReport> {
  const latenciesMs: number[] = []
  let ok = 0
  let bytes = 0
  const { promise, resolve, reject } = Promise.withResolvers<autocannon.Result>()
  const settings = {
    url,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    connections,
    timeout: timeoutS,
    // It ends only when a sample is taken.
    sampleInt: sampleMs,
    duration: seconds,
  } as const
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const instance = autocannon(settings, (error: unknown, result) => {
    if (error instanceof Error) reject(error)
    else resolve(result)
  })
  // autocannon's own histogram has whole milliseconds.
  instance.on('response', (_client, status, size, responseMs) => {
    latenciesMs.push(responseMs)
    bytes += size
    if (status === 200) ok += 1
  })
  const { errors, timeouts } = await promise
  const { user, system } = process.cpuUsage(cpuBefore)
  const sorted = Float64Array.from(latenciesMs).toSorted()
  return {
    ok,
    failed: latenciesMs.length - ok + errors + timeouts,
    p50Ms: percentile(sorted, 50),
    p99Ms: percentile(sorted, 99),
    bytesPerAnswer: bytes / latenciesMs.length,
    generatorShare: (user + system) / usPerMs / (performance.now() - startedAt),
  }
}

/** If the generator waits for a core, that wait counts as the server's. So it has a higher priority if permitted. */
async function offerPunctually(request: OpenLoopRequest): Promise<OpenLoopReport> {
  const isAllowed = prioritize(openLoopPriority)
  const report = await offer(request)
  if (isAllowed) prioritize(0)
  return report
}

function prioritize(priority: number): boolean {
  try {
    setPriority(priority)
    return true
  } catch {
    return false
  }
}

// Sent by load.ts, which has the same version.
process.on('message', (message: GeneratorMessage) => {
  const report = message.type === 'closed' ? run(message.request) : offerPunctually(message.request)
  void report.then((made) => process.send?.(made))
})
process.on('disconnect', () => process.exit(0))
