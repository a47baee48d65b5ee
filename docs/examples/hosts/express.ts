/** The same in an Express app with a body parser: `node docs/examples/hosts/express.ts`. */
import express from 'express'
import { createForerunner } from 'forerunner'
import confirm from './tasks/confirm.ts'

const forerunner = createForerunner({
  tasks: new URL('./tasks/', import.meta.url),
  databaseUrl: process.env['DATABASE_URL'] ?? 'sqlite:data/express.db',
  prefix: '/jobs',
  logLevel: 'warn',
})
await forerunner.start()

const app = express()
app.use(forerunner.handler())
app.use(express.json())
app.post('/orders', async (request, response) => {
  const { order } = request.body as { order: string }
  const { id } = await forerunner.enqueue([confirm({ order })])
  response.status(201).json({ run: id, watch: `/jobs/runs/${id}` })
})
const server = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () =>
  console.log('listening', server.address()),
)

process.once('SIGTERM', async () => {
  server.close()
  await forerunner.stop()
})
