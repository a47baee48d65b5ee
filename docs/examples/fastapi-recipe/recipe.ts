/** The same recipe: `node docs/examples/fastapi-recipe/recipe.ts`, then `curl -X POST localhost:8000/run-tasks`. */
import { createServer } from 'node:http'
import { createForerunner } from 'forerunner'

const forerunner = createForerunner({
  tasks: new URL('./tasks/', import.meta.url),
  databaseUrl: process.env['DATABASE_URL'] ?? 'sqlite:data/recipe.db',
  logLevel: 'warn',
})
await forerunner.start()

const server = createServer(forerunner.handler({ prefix: '' }))
server.listen(Number(process.env['PORT'] ?? 8000), '127.0.0.1', () => console.log('listening', server.address()))

process.once('SIGTERM', async () => {
  server.close()
  await forerunner.stop()
})
