/** Real hosts of the current major versions, with a page of their own at `/` and at `/mine`, on a port of their own. */
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import middie from '@fastify/middie'
import { serve as serveHono, type HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import type { Forerunner } from 'forerunner'

export interface Host extends AsyncDisposable {
  readonly url: string
}

export type OpenHost = (forerunner: Forerunner, prefix?: string) => Promise<Host>

async function listen(server: Server): Promise<Host> {
  if (!server.listening) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const at = (prefix: string | undefined) => (prefix === undefined ? {} : { prefix })

const onKoa: OpenHost = (forerunner, prefix) => {
  const app = new Koa()
  app.use(forerunner.middleware(at(prefix)))
  app.use((ctx) => {
    if (ctx.path === '/' || ctx.path === '/mine') ctx.body = 'mine'
  })
  return listen(createServer((incoming, response) => void app.callback()(incoming, response)))
}

const onExpress: OpenHost = (forerunner, prefix) => {
  const app = express()
  app.use(express.json())
  app.use(forerunner.handler(at(prefix)))
  app.get(['/', '/mine'], (_request, response) => void response.send('mine'))
  return listen(createServer((incoming, response) => app(incoming, response)))
}

/** Express takes the prefix away from the path. */
const onExpressRoute: OpenHost = (forerunner, prefix = '') => {
  const app = express()
  app.use(prefix || '/', forerunner.handler(at(prefix)))
  app.get(['/', '/mine'], (_request, response) => void response.send('mine'))
  return listen(createServer((incoming, response) => app(incoming, response)))
}

const onFastify: OpenHost = async (forerunner, prefix) => {
  const app = fastify()
  await app.register(middie)
  app.use(forerunner.handler(at(prefix)))
  app.get('/', () => 'mine')
  app.get('/mine', () => 'mine')
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { url } = await listen(app.server)
  return { url, [Symbol.asyncDispose]: () => app.close() }
}

const onHono: OpenHost = (forerunner, prefix) => {
  const app = new Hono<{ Bindings: HttpBindings }>()
  const handle = forerunner.handler(at(prefix))
  app.use(async ({ env: { incoming, outgoing } }, next) => {
    let isOurs = true
    await new Promise<void>((resolve, reject) => {
      outgoing.once('close', resolve)
      handle(incoming, outgoing, (error) => {
        isOurs = false
        if (error === undefined) resolve()
        else reject(error)
      })
    })
    if (isOurs) return RESPONSE_ALREADY_SENT
    await next()
    return undefined
  })
  app.on('GET', ['/', '/mine'], (context) => context.text('mine'))
  return listen(serveHono({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server)
}

const onNode: OpenHost = (forerunner, prefix) => {
  const handle = forerunner.handler(at(prefix))
  return listen(
    createServer((incoming, response) => {
      handle(incoming, response, () => {
        const isMine = incoming.url === '/' || incoming.url === '/mine'
        response.writeHead(isMine ? 200 : 404).end(isMine ? 'mine' : 'nothing')
      })
    }),
  )
}

export const hosts: Readonly<Record<string, OpenHost>> = {
  Koa: onKoa,
  Express: onExpress,
  'Express, mounted at the prefix': onExpressRoute,
  'Fastify with middie': onFastify,
  Hono: onHono,
  'node:http': onNode,
}

export { listen }
