/** Pipelined requests of one connection are handled one after another. */
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import type { Middleware } from 'koa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createHttpServer } from '../../src/http/server.ts'
import { createLog } from '../../src/log.ts'
import { until } from '../harness/until.ts'
import { answersOf, open } from './raw.ts'

async function serve(middleware: Middleware): Promise<{ url: string } & AsyncDisposable> {
  const server = createHttpServer(createLog('silent'))
  const url = await server.listen(middleware, '127.0.0.1', 0)
  return { url, [Symbol.asyncDispose]: () => server.close() }
}

const get = (path: string, field = '') => `GET ${path} HTTP/1.1\r\nHost: x\r\n${field}\r\n`

test('a client that reads nothing keeps one response in memory, however many requests it sends', async () => {
  let begun = 0
  let closed = 0
  await using server = await serve((ctx) => {
    begun += 1
    ctx.res.once('close', () => (closed += 1))
    ctx.body = 'x'.repeat(16 * 1_048_576)
  })
  const socket = open(server.url)
  socket.pause()
  socket.write(get('/').repeat(20))
  await until('the first is started', () => begun > 0)
  // If they were started, that would happen before the response to a later request on another connection.
  const other = await (await fetch(server.url)).text()
  assert.is(other.length, 16 * 1_048_576)
  assert.is(begun, 2)
  socket.destroy()
  await until('it is over', () => closed === 2)
  assert.is(begun, 2, 'requests of a closed connection are not started')
})

test('each request starts after the response to the previous one', async () => {
  const seen: string[] = []
  await using server = await serve(async (ctx) => {
    seen.push(`${ctx.path} begins`)
    await new Promise(setImmediate)
    seen.push(`${ctx.path} ends`)
    ctx.body = ctx.path
  })
  const socket = open(server.url)
  socket.write(get('/a') + get('/b') + get('/c', 'Connection: close\r\n'))
  const bodies = await Promise.all(answersOf(await text(socket)).map((answer) => answer.text()))
  assert.equal(bodies, ['/a', '/b', '/c'])
  assert.equal(
    seen,
    ['/a', '/b', '/c'].flatMap((path) => [`${path} begins`, `${path} ends`]),
  )
})

test('a request after one that ends the connection is not started', async () => {
  const seen: string[] = []
  await using server = await serve(async (ctx) => {
    seen.push(ctx.path)
    await new Promise(setImmediate)
    if (ctx.path === '/b') ctx.set('Connection', 'close')
    ctx.body = ctx.path
  })
  for (const second of ['GET /no-host HTTP/1.1\r\n\r\n', get('/b')]) {
    seen.length = 0
    const socket = open(server.url)
    socket.write(get('/a') + second + get('/c'))
    const responses = answersOf(await text(socket))
    assert.is(responses.length, 2)
    assert.not(seen.includes('/c'), second)
  }
})

test('a connection with too many pipelined requests is closed', async () => {
  let begun = 0
  const { promise: never } = Promise.withResolvers<void>()
  await using server = await serve(async () => {
    begun += 1
    await never
  })
  const socket = open(server.url)
  socket.on('error', () => {})
  socket.resume()
  socket.write(get('/').repeat(65))
  await until('the first is started', () => begun === 1)
  assert.is(socket.destroyed, false)
  socket.write(get('/').repeat(100))
  await once(socket, 'close')
  assert.is(begun, 1)
})

test.run()
