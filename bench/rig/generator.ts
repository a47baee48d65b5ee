/** The load generator's process: autocannon, told by its parent what to send. It ends when its parent is gone. */
import autocannon from 'autocannon'
import { percentile } from './figures.ts'
import type { LoadReport, LoadRequest } from './load.ts'

const timeoutS = 30
const sampleMs = 50

async function run({ url, body, connections, until }: LoadRequest): Promise<LoadReport> {
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
    ...('seconds' in until ? { duration: until.seconds } : { amount: until.requests }),
  } as const
  const instance = autocannon(settings, (error: unknown, result) => {
    if (error instanceof Error) reject(error)
    else resolve(result)
  })
  // autocannon's own histogram counts in whole milliseconds.
  instance.on('response', (_client, status, size, responseMs) => {
    latenciesMs.push(responseMs)
    bytes += size
    if (status === 200) ok += 1
  })
  const { errors, timeouts } = await promise
  const sorted = Float64Array.from(latenciesMs).toSorted()
  return {
    ok,
    failed: latenciesMs.length - ok + errors + timeouts,
    p50Ms: percentile(sorted, 50),
    p99Ms: percentile(sorted, 99),
    bytesPerAnswer: bytes / latenciesMs.length,
  }
}

// Sent by load.ts, which is of the same version.
process.on('message', (request: LoadRequest) => {
  void run(request).then((report) => process.send?.(report))
})
process.on('disconnect', () => process.exit(0))
