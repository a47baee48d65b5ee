/** Watching a run over connections that are cut, fall silent, or are refused. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient, type RunView } from '../../src/client/client.ts'
import { createTransport } from '../../src/client/transport.ts'
import { remoteSettings, watch, type WatchEvent, type WatchSettings } from '../../src/client/watch.ts'
import { problemExample, runExample } from '../../src/http/openapi/examples.ts'
import { rejects } from '../harness/rejects.ts'
import { until } from '../harness/until.ts'
import { collect } from './collect.ts'
import { answerWith, cut, ignore, startPeer, stream, type Peer } from './peer.ts'

const runAt = (version: number, state: RunView['state'] = 'running'): RunView => ({ ...runExample, version, state })
const told = (run: RunView) => `event: run\nid: ${run.version}\ndata: ${JSON.stringify(run)}\n\n`
const progress = 'event: progress\ndata: {"jobIndex":1,"progress":0.5,"message":"half"}\n\n'
const soon = 'retry: 1\n\n'
const end = stream(told(runAt(9, 'completed')), 'end')

const watchOf = ({ url }: Peer, settings: Partial<WatchSettings> = {}) =>
  watch(createTransport({ baseUrl: url }), runExample.id, {}, { ...remoteSettings, firstPauseMs: 1, ...settings })

const seenBy = (events: readonly WatchEvent[]) =>
  events.map((event) => (event.type === 'run' ? event.run.version : `${event.jobIndex}: ${event.progress}`))

test('reports each state and progress, and ends with the final state', async () => {
  await using peer = await startPeer(stream(told(runAt(3)) + progress + told(runAt(9, 'failed')), 'stay'))
  const events = await collect(createClient({ baseUrl: peer.url, apiKey: 'k' }).watch(runExample.id))
  assert.equal(seenBy(events), [3, '1: 0.5', 9])
  assert.equal(events[1], { type: 'progress', jobIndex: 1, progress: 0.5, message: 'half' })
  const [{ path, headers } = { path: '', headers: {} }] = peer.seen
  assert.is(path, `/runs/${runExample.id}/events`)
  assert.equal([headers['accept'], headers['authorization']], ['text/event-stream', 'Bearer k'])
  assert.not('last-event-id' in headers)
})

test('continues after a lost connection, and reports nothing twice', async () => {
  const begun = told(runAt(3)) + progress
  await using peer = await startPeer(
    stream(`${begun}event: run\nid: 4\ndata: {"half`, 'cut'),
    cut,
    stream(told(runAt(3)) + told(runAt(5)), 'end'),
    end,
  )
  assert.equal(seenBy(await collect(watchOf(peer))), [3, '1: 0.5', 5, 9])
  assert.equal(
    peer.seen.map(({ headers }) => headers['last-event-id']),
    [undefined, '3', '3', '5'],
  )
})

test('ends when no more events can follow', async () => {
  await using peer = await startPeer(
    stream(soon + told(runAt(3)), 'cut'),
    (response) => void response.writeHead(204).end(),
  )
  assert.equal(seenBy(await collect(watchOf(peer))), [3])
})

test('waits as long as the server says, also after a refusal', async () => {
  const { status, ...problem } = problemExample('too-many-streams')
  const refused = answerWith(status, { status, ...problem }, { 'Retry-After': '1' })
  await using peer = await startPeer(stream(`retry: 400\n\n${told(runAt(3))}`, 'end'), refused, end)
  const startedAt = performance.now()
  assert.equal(seenBy(await collect(watchOf(peer))), [3, 9])
  assert.ok(performance.now() - startedAt >= 1_190)
})

test('treats a silent connection as cut', async () => {
  await using peer = await startPeer(ignore, stream(told(runAt(3)), 'stay'), end)
  assert.equal(seenBy(await collect(watchOf(peer, { silenceLimitMs: 300 }))), [3, 9])
})

test('throws permanent errors, and temporary ones that last too long', async () => {
  await using unknown = await startPeer(answerWith(404, problemExample('run-not-found')))
  await rejects(collect(watchOf(unknown)), 'run-not-found')
  assert.is(unknown.seen.length, 1)
  await using dead = await startPeer(cut)
  await rejects(collect(watchOf(dead, { maxFailures: 2 })), 'TypeError')
  assert.is(dead.seen.length, 3)
  await using empty = await startPeer(stream(soon, 'end'))
  await rejects(collect(watchOf(empty, { maxFailures: 2 })), 'TypeError')
  assert.is(empty.seen.length, 3)
})

test('closes its connection when the loop ends or is aborted', async () => {
  let open = 0
  await using peer = await startPeer((response) => {
    open += 1
    response.once('close', () => (open -= 1))
    stream(told(runAt(3)), 'stay')(response, response.req)
  })
  for await (const event of watchOf(peer)) {
    assert.equal([event.type, open], ['run', 1])
    break
  }
  await until('the connection is closed', () => open === 0)
  const ending = new AbortController()
  const watching = createClient({ baseUrl: peer.url }).watch(runExample.id, ending)
  assert.is((await watching.next()).done, false)
  ending.abort()
  await rejects(watching.next(), 'AbortError')
  await until('the connection is closed', () => open === 0)
})

test.run()
