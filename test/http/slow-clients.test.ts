/** Who is slow, silent or deaf is cut off in time, and nobody else notices. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Middleware } from 'koa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createResponder } from '../../src/http/responder.ts'
import { createByteBudget } from '../../src/http/byte-budget.ts'
import { createHttpServer, type ServerLimits } from '../../src/http/server.ts'
import { createLog } from '../../src/log.ts'
import { within } from '../harness/child.ts'
import { listRuns } from '../harness/run.ts'
import { startService } from '../harness/service.ts'
import { answersOf, open } from './raw.ts'

/** Others are served in far less than what the slow ones are given. */
const limits: Partial<ServerLimits> = { headersTimeoutMs: 300, requestTimeoutMs: 600, checkIntervalMs: 50 }
const post = 'POST /run-tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n'

async function serve(middleware: Middleware, own: Partial<ServerLimits>): Promise<{ url: string } & AsyncDisposable> {
  const server = createHttpServer(createLog('silent'), own)
  const url = await server.listen(middleware, '127.0.0.1', 0)
  return { url, [Symbol.asyncDispose]: () => server.close() }
}

/** Sends a byte now and then, for as long as the connection is open. */
function drip(socket: Socket, bytes: string): void {
  let next = 0
  const timer = setInterval(() => socket.write(bytes[next++ % bytes.length] ?? ''), 20)
  for (const event of ['end', 'close'] as const) socket.once(event, () => clearInterval(timer))
}

test('an incomplete request is ended, and others are served meanwhile', async () => {
  await using service = await startService({}, limits)
  const beginnings = {
    'that stops in its header': ['GET /livez HTTP/1.1\r\nHost: x\r\n', ''],
    'whose header goes on for ever': ['GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ', 'x'],
    'that stops in its body': [`${post}{`, ''],
    'whose body comes byte by byte': [post, ' '],
    'that waits for the first byte': ['', ''],
  }
  const slow = Object.entries(beginnings).map(async ([what, [beginning = '', rest = '']]) => {
    const socket = open(service.url)
    socket.write(beginning)
    if (rest !== '') drip(socket, rest)
    return [what, answersOf(await text(socket))] as const
  })
  // One request on a connection of its own for as long as the slow ones are not ended.
  let isOver = false
  const ended = Promise.all(slow).finally(() => (isOver = true))
  let served = 0
  do {
    assert.is((await service.post('/run-tasks', { tasks: [{ name: 'echo' }] })).status, 200)
    served += 1
  } while (!isOver && served < 5_000)
  for (const [what, [answer, ...more]] of await ended) {
    assert.is(answer?.status, 408, what)
    assert.is(answer?.headers.get('Content-Type'), 'application/problem+json', what)
    assert.is(answer?.headers.get('Connection'), 'close', what)
    assert.equal(more, [], what)
  }
  const runs = await listRuns(service)
  assert.is(runs.length, Math.min(served, 50), 'none of the slow ones has become a run')
})

test('a response may take longer than a request', async () => {
  await using service = await startService({}, limits)
  const response = await service.post('/run-tasks', { tasks: [{ name: 'wait', input: { ms: 1_000 } }] })
  assert.is(response.status, 200)
})

test('an idle connection is closed', async () => {
  await using server = await serve((ctx) => void (ctx.body = 'here'), { keepAliveTimeoutMs: 1 })
  const socket = open(server.url)
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  const [answer] = answersOf(await text(socket))
  assert.is(answer?.status, 200)
  assert.is(answer?.headers.get('Connection'), 'keep-alive')
})

test('a client that does not read its response is cut off', async () => {
  const { promise: isClosed, resolve } = Promise.withResolvers<boolean>()
  const large = Buffer.alloc(64 * 1024 * 1024, 'x')
  const middleware: Middleware = (ctx) => {
    ctx.res.once('close', () => resolve(ctx.res.writableFinished))
    ctx.body = large
  }
  await using server = await serve(middleware, { sendTimeoutMs: 300 })
  const socket = open(server.url)
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'data')
  socket.pause()
  assert.is(await within('it is cut off', isClosed), false)
  socket.destroy()
})

test('a client that stops reading a large response is cut off, and its bytes are released', async () => {
  const { promise: isClosed, resolve } = Promise.withResolvers<boolean>()
  const budget = createByteBudget(1)
  const store = {
    getJob: async () => null,
    getInput: async () => null,
    listRuns: async () => ({ runs: [], hasMore: false }),
  }
  const responder = createResponder({
    view: { showsStacks: false },
    store,
    budget,
    log: createLog('silent'),
    stuckMs: 300,
  })
  const large = 'x'.repeat(32 * 1024 * 1024)
  const middleware: Middleware = (ctx) => {
    ctx.res.once('close', () => resolve(ctx.res.writableFinished))
    return responder.send(ctx, large)
  }
  await using server = await serve(middleware, {})
  const socket = open(server.url)
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'data')
  socket.pause()
  assert.ok(budget.held() > large.length)
  assert.is(await within('it is cut off', isClosed), false)
  assert.is(budget.held(), 0)
  socket.destroy()
})

test('a client that reads slowly gets the whole response', async () => {
  const large = Buffer.alloc(24 * 1024 * 1024, 'x')
  // Half of what it takes to read, and more than a busy machine may keep this process from reading.
  await using server = await serve((ctx) => void (ctx.body = large), { sendTimeoutMs: 1_000 })
  const socket = open(server.url)
  socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  let received = 0
  for await (const chunk of socket) {
    received += (chunk as Buffer).length
    await new Promise((next) => setTimeout(next, 5))
  }
  assert.ok(received > large.length)
})

test('a response that waits for another one on its connection is not too slow', async () => {
  const { promise: isReady, resolve } = Promise.withResolvers<void>()
  const middleware: Middleware = async (ctx) => {
    if (ctx.path === '/slow') await isReady
    ctx.body = ctx.path
  }
  await using server = await serve(middleware, { sendTimeoutMs: 50 })
  const socket = open(server.url)
  socket.write('GET /fast HTTP/1.1\r\nHost: x\r\n\r\nGET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  setTimeout(resolve, 500)
  const bodies = await Promise.all(answersOf(await text(socket)).map((answer) => answer.text()))
  assert.equal(bodies, ['/fast', '/slow'])
})

test.run()
