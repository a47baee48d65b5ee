/**
 * A sign-up: the account is the answer; the mail needs it, and the CRM needs both. A webhook says when all is done.
 * `node docs/examples/sign-up/sign-up.ts ada@example.org`
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createForerunner, type RunView } from 'forerunner'
import { Webhook } from 'standardwebhooks'

const [email = 'ada@example.org'] = process.argv.slice(2)
const webhookSecret = `whsec_${randomBytes(32).toString('base64')}`

// Elsewhere: a service that reacts to the end of a sign-up.
const webhook = new Webhook(webhookSecret)
const { promise: done, resolve } = Promise.withResolvers<RunView>()
const receiver = createServer(async (request, response) => {
  let body = ''
  for await (const piece of request.setEncoding('utf8')) body += String(piece)
  try {
    const { data } = webhook.verify(body, request.headers as Record<string, string>) as { data: RunView }
    response.writeHead(204).end()
    resolve(data)
  } catch {
    response.writeHead(401).end()
  }
})
receiver.listen(0, '127.0.0.1')
await once(receiver, 'listening')
const { port } = receiver.address() as AddressInfo

await using forerunner = createForerunner({
  tasksDir: 'docs/examples/sign-up/tasks',
  databaseUrl: 'sqlite::memory:',
  webhookSecret: [webhookSecret],
  // The receiver is on this machine.
  webhookAllowPrivate: true,
  logLevel: 'warn',
})
await forerunner.start()

const run = await forerunner.runTasks({
  tasks: [
    { name: 'create-account', input: { email } },
    { name: 'send-mail', after: [0] },
    { name: 'update-crm', after: [0, 1], maxAttempts: 20 },
  ],
  tags: ['sign-up'],
  webhook: { url: `http://127.0.0.1:${port}/signed-up` },
})
console.log('answer:', run.result)

const { state, jobs } = await done
console.log(`${state}:`, jobs[1]?.result, jobs[2]?.result)
receiver.close()
