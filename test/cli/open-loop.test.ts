/** A server that stands still must be charged for everybody who comes meanwhile. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'uvu'
import { equal, is, ok } from 'uvu/assert'
import { median } from '../../bench/rig/figures.ts'
import { arrivalsOf, offer } from '../../src/cli/open-loop.ts'

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

test('arrivals keep their rate, and several streams are one schedule', () => {
  const arrivals = arrivalsOf([{ perSecond: 4 }, { perSecond: 2 }], 1)
  equal(arrivals, [
    { stream: 0, dueMs: 125 },
    { stream: 1, dueMs: 250 },
    { stream: 0, dueMs: 375 },
    { stream: 0, dueMs: 625 },
    { stream: 1, dueMs: 750 },
    { stream: 0, dueMs: 875 },
  ])
  equal(arrivalsOf([{ perSecond: 0 }], 1), [])
})

test('a latency counts from the instant that the request was due', async () => {
  const seconds = 0.4
  const waiting: (() => void)[] = []
  const server = createServer((request, response) => {
    request.resume()
    waiting.push(() => response.end('done'))
    // Nobody is answered before the last one has come.
    if (waiting.length === seconds * 100) for (const answer of waiting) answer()
  })
  const url = await listen(server)
  const { streams, latenessMs } = await offer({ url, seconds, streams: [{ body: '{}', perSecond: 100 }] })
  server.close()
  const [stream] = streams
  is(latenessMs.length, 40)
  is(stream?.latenciesMs.length, 40)
  // One who waits for each answer before the next request would have sent one, and would tell one latency.
  const middle = median(stream?.latenciesMs ?? [])
  // A timer can fire up to a millisecond early.
  ok(middle >= 193, `half of them waited at least half of the time, not ${middle} ms`)
  ok((stream?.latenciesMs.at(-1) ?? 0) >= 385)
})

test('a lateness of the generator itself is part of the latency', async () => {
  const server = createServer((request, response) => request.resume().on('end', () => response.end()))
  const url = await listen(server)
  const offering = offer({ url, seconds: 0.1, streams: [{ body: '{}', perSecond: 50 }] })
  const blockedUntil = performance.now() + 200
  while (performance.now() < blockedUntil);
  const { streams, latenessMs } = await offering
  server.close()
  is(latenessMs.length, 5)
  ok((streams[0]?.latenciesMs[0] ?? 0) >= 100)
})

test('responses without success are counted separately and have no latency', async () => {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.statusCode = 503
      response.end()
    })
  })
  const url = await listen(server)
  const { streams } = await offer({ url, seconds: 0.05, streams: [{ body: '{}', perSecond: 100 }] })
  server.close()
  equal(streams, [{ latenciesMs: [], failed: 5, failures: { 'status 503': 5 } }])
})

test.run()
