/** Many streams at once: what they share, what a slow client costs, and that nothing of them is left afterwards. */
import { once } from 'node:events'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openEvents } from '../harness/event-client.ts'
import { startLive, type Live } from '../harness/live.ts'
import { readProblem } from '../harness/run.ts'
import { acceptAndClaim, claimOne, jobOf, requestAt, runOf, start, taskError } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'
import { open } from './raw.ts'

const eventsOf = (live: Live, id: string) => openEvents(`${live.url}/runs/${id}/events`)

/** A run with events of more than a megabyte, which can change any number of times. */
async function acceptLarge({ store }: Live): Promise<string> {
  const jobs = Array.from({ length: 80 }, () => jobOf())
  const run = runOf({ jobs: [...jobs, jobOf({ kind: 'cpu' })] })
  await store.accept(run, start)
  const slots = [{ thread: 'worker-1', kind: 'io', count: 80 }] as const
  const claimed = await store.claim(requestAt(start, { slots }))
  const result = JSON.stringify('x'.repeat(16_000))
  await Promise.all(claimed.jobs.map((job) => store.complete(job, result, start)))
  return run.id
}

async function change({ store }: Live): Promise<void> {
  await store.release(await claimOne(store, start), start)
}

test('a comment keeps the connection in use', async () => {
  await using live = await startLive({ timing: { sampleMs: 5, commentMs: 10 } })
  const run = runOf()
  const claim = await acceptAndClaim(live.store, run, start)
  await using events = await eventsOf(live, run.id)
  await events.nextRun()
  const rest = events.rest()
  const comments = () => events.others.filter(({ kind }) => kind === 'comment')
  await until('there are comments', () => comments().length >= 3)
  await live.store.complete(claim, '1', start)
  assert.is((await rest).length, 1, 'a comment is no event')
  assert.equal(comments()[0], { kind: 'comment', text: '' })
})

test('all watchers of a run share a read', async () => {
  await using live = await startLive()
  const run = runOf()
  const claim = await acceptAndClaim(live.store, run, start)
  const clients = await Promise.all(Array.from({ length: 100 }, () => eventsOf(live, run.id)))
  await Promise.all(clients.map((client) => client.nextRun()))
  assert.is(live.feed.size(), 1)
  const before = live.reads()
  await live.store.complete(claim, '1', start)
  for (const runs of await Promise.all(clients.map((client) => client.rest()))) assert.is(runs.length, 1)
  assert.is(live.reads(), before + 1)
})

test('a client that does not read gets the newest state, not each missed one', async () => {
  await using live = await startLive()
  const id = await acceptLarge(live)
  await using reader = await eventsOf(live, id)
  await using sleeper = await eventsOf(live, id)
  const { version: first } = await sleeper.nextRun()
  let { version } = await reader.nextRun()
  // More than fits into the buffers of a connection.
  for (let changes = 0; changes < 12; changes += 1) {
    await change(live)
    const aim = version + 2
    while (version < aim) ({ version } = await reader.nextRun())
  }
  const seen = [first]
  while (seen.at(-1) !== version) seen.push((await sleeper.nextRun()).version)
  assert.equal(
    seen,
    [...new Set(seen)].toSorted((a, b) => a - b),
  )
  assert.ok(seen.length < 20, `${seen.length} of 25 states were kept for it`)
  await live.store.cancel(id, null, start)
  assert.is((await sleeper.rest()).length, 1)
})

test('a client that reads nothing is cut off, and can connect again', async () => {
  await using live = await startLive({ timing: { sampleMs: 10, stuckMs: 100 } })
  const id = await acceptLarge(live)
  await using sleeper = await eventsOf(live, id)
  await until('it is cut off', async () => {
    await change(live)
    return live.streams.size() === 0
  })
  assert.is(live.feed.size(), 0)
  const failure = await sleeper.rest().catch((error: unknown) => error)
  assert.instance(failure, Error)
  await using again = await eventsOf(live, id)
  assert.is((await again.nextRun()).version, (await live.store.getRun(id))?.version)
})

test('a stream ends when its run is removed', async () => {
  await using live = await startLive()
  const run = runOf()
  await acceptAndClaim(live.store, run, start)
  await using events = await eventsOf(live, run.id)
  await events.nextRun()
  await Promise.all([live.store.cancel(run.id, null, start), live.store.remove(run.id)])
  assert.equal(await events.rest(), [])
})

test('a run that is retried has a new stream', async () => {
  await using live = await startLive()
  const run = runOf()
  const claim = await acceptAndClaim(live.store, run, start)
  await using events = await eventsOf(live, run.id)
  await live.store.fail(claim, taskError, null, start)
  const ended = await events.rest()
  const last = ended.at(-1)
  assert.is(last?.type === 'run' && last.run.state, 'failed')
  await live.store.retry(run.id, 0, start)
  await using again = await eventsOf(live, run.id)
  assert.is((await again.nextRun()).state, 'running')
  await live.store.complete(await claimOne(live.store, start), '1', start)
  const completed = (await again.rest()).at(-1)
  assert.is(completed?.type === 'run' && completed.run.state, 'completed')
})

test('when the service stops, every stream gets the newest state and ends', async () => {
  await using live = await startLive()
  const run = runOf()
  const claim = await acceptAndClaim(live.store, run, start)
  const clients = await Promise.all(Array.from({ length: 20 }, () => eventsOf(live, run.id)))
  await Promise.all(clients.map((client) => client.nextRun()))
  // The change happens at the moment of the stop.
  void live.store.complete(claim, '1', start)
  await live.streams.close()
  for (const events of await Promise.all(clients.map((client) => client.rest()))) {
    const last = events.at(-1)
    assert.is(last?.type === 'run' && last.run.state, 'completed')
  }
  const refused = await fetch(`${live.url}/runs/${run.id}/events`)
  assert.is((await readProblem(refused)).type, '/problems/shutting-down')
  await until('nothing is left', () => live.streams.size() === 0 && live.feed.size() === 0)
})

/** Sends a request and disconnects: at once, or after the first bytes of the response. */
async function leave(url: string, path: string, waits: boolean, header = 'X-Nothing: 1'): Promise<void> {
  const socket = open(url)
  const { promise: sent, resolve } = Promise.withResolvers<void>()
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${header}\r\n\r\n`, () => resolve())
  await (waits ? once(socket, 'data') : sent)
  socket.destroy()
}

test('a stream that waits for another one on its connection is not counted, nor opened after a close', async () => {
  await using live = await startLive({ timing: { sampleMs: 10 } })
  const run = runOf()
  await acceptAndClaim(live.store, run, start)
  const socket = open(live.url)
  socket.write(`GET /runs/${run.id}/events HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(2))
  await until('the first one is open', () => live.streams.size() === 1)
  await once(socket, 'data')
  assert.is(live.streams.size(), 1)
  socket.destroy()
  await until('it is gone', () => live.streams.size() === 0 && live.feed.size() === 0)
})

test('a client that left before its request was handled leaves no stream', async () => {
  await using live = await startLive({ timing: { sampleMs: 10 } })
  const run = runOf()
  await acceptAndClaim(live.store, run, start)
  for (const path of ['events', 'versions/2']) {
    const before = live.reads()
    await leave(live.url, `/runs/${run.id}/${path}`, false, 'X-Late: 1')
    await until('the run is read for it', () => live.reads() > before)
    await until('it is gone', () => live.streams.size() + live.polls.size() + live.feed.size() === 0)
  }
})

test('nothing is left of ten thousand clients that left', async () => {
  await using live = await startLive({ maxStreams: 200 })
  const run = runOf()
  const claim = await acceptAndClaim(live.store, run, start)
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  await using stays = await eventsOf(live, run.id)
  for (let gone = 0; gone < 10_000; gone += 100) {
    const paths = Array.from({ length: 100 }, (_, index) => (index % 4 === 0 ? 'versions/2' : 'events'))
    const waits = (path: string, index: number) => path === 'events' && index % 2 === 0
    await Promise.all(paths.map((path, index) => leave(live.url, `/runs/${run.id}/${path}`, waits(path, index))))
    await until('their streams are closed', () => live.streams.size() <= 100)
  }
  await until('all are gone', () => live.streams.size() === 1 && live.polls.size() === 0)
  assert.is(live.feed.size(), 1, 'one subscription for all who are left')
  assert.ok(timers() <= before + 10, `${timers()} timers`)
  await live.store.complete(claim, '1', start)
  const last = (await stays.rest()).at(-1)
  assert.is(last?.type === 'run' && last.run.state, 'completed')
  await until('nobody is left', () => live.streams.size() === 0 && live.feed.size() === 0)
})

test.run()
