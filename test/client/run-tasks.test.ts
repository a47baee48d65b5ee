/** Retries of POST /run-tasks: with one key and the same bytes, as often and as late as makes sense. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient, ProblemError, type ClientOptions } from '../../src/client/client.ts'
import type { ProblemCode } from '../../src/domain/problems.ts'
import { problemExample, runExample } from '../../src/http/openapi/examples.ts'
import { rejects } from '../harness/rejects.ts'
import { answerWith, cut, ignore, startPeer, type Step } from './peer.ts'

const refuse = (code: ProblemCode, headers: Record<string, string> = {}): Step => {
  const problem = problemExample(code)
  return answerWith(problem.status, problem, headers)
}
const now = { 'Retry-After': '0' }
const accept = answerWith(200, runExample)

test('repeats the same request after a lost connection and after temporary refusals', async () => {
  const halfAnAnswer: Step = (response, request) => {
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '1000' })
    response.write('{"id":', () => setImmediate(() => request.socket.destroy()))
  }
  const gateway: Step = (response) => void response.writeHead(502).end('<h1>Bad gateway</h1>')
  await using peer = await startPeer(cut, refuse('overloaded', now), halfAnAnswer, gateway, accept)
  const request = { tasks: [{ name: 'echo', input: 'ü' }] }
  const run = await createClient({ baseUrl: peer.url }).runTasks(request)
  assert.is(run.id, runExample.id)
  assert.is(peer.seen.length, 5)
  const sent = peer.seen.map(({ method, path, headers, body }) => [method, path, headers['idempotency-key'], body])
  for (const one of sent) assert.equal(one, ['POST', '/run-tasks', sent[0]?.[2], JSON.stringify(request)])
  assert.match(String(sent[0]?.[2]), /^"[0-9a-f]{32}"$/)
})

test('joins an earlier try that is still being answered', async () => {
  await using peer = await startPeer(cut, refuse('idempotency-in-progress', now), accept)
  await createClient({ baseUrl: peer.url }).runTasks()
  const [first, second, third] = peer.seen
  assert.equal(
    [first, second, third].map((seen) => seen?.headers['prefer']),
    [undefined, undefined, 'wait=60'],
  )
  assert.is(third?.body, '')
  assert.not('content-type' in (third?.headers ?? {}), 'nothing is declared where nothing is sent')
})

test('waits as long as requested', async () => {
  await using peer = await startPeer(refuse('shutting-down', { 'Retry-After': '1' }), accept)
  const startedAt = performance.now()
  await createClient({ baseUrl: peer.url }).runTasks()
  assert.ok(performance.now() - startedAt >= 990)
})

test('gives up after five tries, or when it would have to wait too long', async () => {
  await using busy = await startPeer(refuse('overloaded', now))
  const error = await rejects(createClient({ baseUrl: busy.url }).runTasks(), 'overloaded')
  assert.instance(error, ProblemError)
  assert.is(busy.seen.length, 5)
  await using away = await startPeer(refuse('shutting-down', { 'Retry-After': '3600' }))
  await rejects(createClient({ baseUrl: away.url }).runTasks(), 'shutting-down')
  assert.is(away.seen.length, 1)
})

test('throws the network error after enough tries', async () => {
  await using peer = await startPeer(cut)
  const error = await rejects(createClient({ baseUrl: peer.url }).runTasks(), 'TypeError')
  assert.not.instance(error, ProblemError)
  assert.is(peer.seen.length, 5)
})

test('does not retry permanent refusals', async () => {
  for (const code of ['validation-error', 'first-task-failed', 'idempotency-key-reused', 'unauthorized'] as const) {
    await using peer = await startPeer(refuse(code))
    await rejects(createClient({ baseUrl: peer.url }).runTasks(), code)
    assert.is(peer.seen.length, 1, code)
  }
})

test('does not retry a decided answer, whatever its status', async () => {
  const failed = problemExample('first-task-failed')
  for (const status of [401, 407, 408, 429, 502, 503]) {
    await using peer = await startPeer(answerWith(status, { ...failed, status }, now))
    // The global fetch makes a network error of a 407, and does not tell what was answered.
    const readable = status === 407 ? { fetch: answeredAs(failed) } : {}
    const error = await rejects(createClient({ baseUrl: peer.url, ...readable }).runTasks(), 'first-task-failed')
    assert.is(Reflect.get(error, 'runId'), failed.runId)
    assert.is(peer.seen.length, status === 407 ? 0 : 1, String(status))
  }
})

/** A fetch that is answered with this problem. */
function answeredAs(problem: unknown): NonNullable<ClientOptions['fetch']> {
  const headers = { 'Content-Type': 'application/problem+json' }
  return async () => new Response(JSON.stringify(problem), { status: 407, headers })
}

test('does not try other calls again, which have no key', async () => {
  await using peer = await startPeer(refuse('store-unavailable', now))
  await rejects(createClient({ baseUrl: peer.url }).retry('x', 0), 'store-unavailable')
  assert.is(peer.seen.length, 1)
})

test('stops waiting when it is aborted', async () => {
  await using busy = await startPeer(refuse('overloaded', { 'Retry-After': '60' }))
  const ending = new AbortController()
  const running = createClient({ baseUrl: busy.url, fetch: abortAfter(ending) }).runTasks(undefined, ending)
  await rejects(running, 'AbortError')
  await using silent = await startPeer(ignore)
  const signal = AbortSignal.timeout(1)
  await rejects(createClient({ baseUrl: silent.url }).runTasks(undefined, { signal }), 'TimeoutError')
})

/** The global fetch, and an abort while the client is waiting for its next try. */
function abortAfter(ending: AbortController): NonNullable<ClientOptions['fetch']> {
  return async (url, init) => {
    const response = await fetch(url, init)
    const text = await response.text()
    setTimeout(() => ending.abort(), 20)
    return new Response(text, response)
  }
}

test('understands answers that are none of the service’s', async () => {
  const notFound: Step = (response) => void response.writeHead(404, { 'Content-Type': 'text/html' }).end('<h1>No</h1>')
  await using peer = await startPeer(notFound, answerWith(400, { type: 'about:blank', title: 'Bad', status: 400 }))
  const client = createClient({ baseUrl: peer.url })
  const first = await rejects(client.stats(), 'about:blank')
  assert.is(Reflect.get(first, 'status'), 404)
  assert.ok(first.message.includes('<h1>No</h1>'), first.message)
  assert.is(Reflect.get(await rejects(client.stats(), 'about:blank'), 'status'), 400)
})

test('sends requests below the mount path', async () => {
  await using peer = await startPeer(accept)
  for (const path of ['/jobs', '/jobs/', '/a/b']) await createClient({ baseUrl: `${peer.url}${path}` }).getRun('x y')
  assert.equal(
    peer.seen.map(({ path }) => path),
    ['/jobs/runs/x%20y', '/jobs/runs/x%20y', '/a/b/runs/x%20y'],
  )
  assert.throws(() => createClient({ baseUrl: 'nowhere' }))
})

test.run()
