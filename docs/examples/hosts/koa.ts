/** A Koa app of yours, its own handler, and the routes of the service below `/jobs`: `node docs/examples/hosts/koa.ts`. */
import { createForerunner } from 'forerunner'
import Koa from 'koa'
import confirm from './tasks/confirm.ts'

const forerunner = createForerunner({
  tasks: new URL('./tasks/', import.meta.url),
  databaseUrl: process.env['DATABASE_URL'] ?? 'sqlite:data/koa.db',
  prefix: '/jobs',
  logLevel: 'warn',
})
await forerunner.start()

const app = new Koa()
app.use(forerunner.middleware())
app.use(async (ctx) => {
  if (ctx.method !== 'POST' || ctx.path !== '/orders') return
  // On disk when this resolves; the task runs later, after a crash too.
  const { id } = await forerunner.enqueue([confirm({ order: ctx.get('X-Order') })])
  ctx.status = 201
  ctx.body = { run: id, watch: `/jobs/runs/${id}` }
})
const server = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () =>
  console.log('listening', server.address()),
)

process.once('SIGTERM', async () => {
  server.close()
  await forerunner.stop()
})
