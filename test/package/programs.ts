/** A user's files: tasks, a program, a test of it, and files that show what the types allow. */

export const task = `import { defineTask } from 'forerunner'
export default defineTask({ run: (input: unknown) => ({ hello: input }) })
`

export const checkedTask = `import { defineTask } from 'forerunner'
import { z } from 'zod'
export default defineTask({ input: z.object({ words: z.string() }), run: ({ words }) => words.split(' ').length })
`

export const program = `import { once } from 'node:events'
import { createServer } from 'node:http'
import { createForerunner, ProblemError } from 'forerunner'
import { createClient } from 'forerunner/client'
import count from './workers/count.ts'

await using forerunner = createForerunner({ databaseUrl: 'sqlite:jobs.db', prefix: '/jobs', logLevel: 'warn' })
await forerunner.start()
const server = createServer(forerunner.handler()).listen(0, '127.0.0.1')
await once(server, 'listening')
const client = createClient({ baseUrl: 'http://127.0.0.1:' + server.address().port + '/jobs' })
const { id } = await forerunner.enqueue({ tasks: [{ name: 'greet', input: 'disk' }] })
const [{ result }, enqueued] = await Promise.all([
  client.runTasks({ tasks: [{ name: 'greet', input: 'you' }] }),
  client.waitForRun(id),
])
const error = await client.runTasks({ tasks: [{ name: 'nope' }] }).catch((thrown) => thrown)
const counted = await forerunner.run([count({ words: 'one two' })])
console.log(JSON.stringify([result, enqueued.result, error instanceof ProblemError, error.code, counted.result]))
server.close()
server.closeAllConnections()
`

export const types = `import { createServer } from 'node:http'
import { createForerunner, defineTask, ProblemError, type Client, type Forerunner, type RunView } from 'forerunner'
import { createClient } from 'forerunner/client'
import Koa from 'koa'

const forerunner: Forerunner = createForerunner({ logger: console, firstJobs: 'pool', threads: 2 })
const clients: Client[] = [forerunner, createClient({ baseUrl: 'http://127.0.0.1:3000' })]
for (const client of clients) {
  const run: RunView = await client.enqueue({ tasks: [{ name: 'a', input: { any: 'thing' } }] })
  for await (const event of client.watch(run.id)) if (event.type === 'run') console.log(event.run.state)
  const { matched, changed } = await client.cancelRuns({ state: 'running', createdAfter: new Date() })
  console.log(matched + changed)
}
createServer(forerunner.handler({ prefix: '/jobs' }))
new Koa().use(forerunner.middleware())
export const task = defineTask({ kind: 'io', run: (input, { signal, log }) => (log.info('x'), [input, signal.aborted]) })
export const read = (error: unknown) => (error instanceof ProblemError ? error.problem.errors : undefined)
// @ts-expect-error there is no such task member
await forerunner.runTasks({ tasks: [{ title: 'a' }] })
// @ts-expect-error there is no such state
await forerunner.listRuns({ state: 'done' })
// @ts-expect-error there is no such option
createForerunner({ port: 3000 })
// @ts-expect-error there is no such kind
defineTask({ kind: 'gpu', run: () => 1 })
`

export const typed = `import { createClient } from 'forerunner/client'
import { createForerunner } from 'forerunner'
import type { Tasks } from './forerunner-tasks.js'
import count from './workers/count.js'
import greet from './workers/greet.js'

const client = createClient<Tasks>({ baseUrl: 'http://127.0.0.1:3000' })
const { result } = await client.runTasks({ tasks: [{ name: 'greet', input: 'you' }] })
export const hello: unknown = result?.hello
const forerunner = createForerunner<Tasks>({ tasks: { count: new URL('./workers/count.js', import.meta.url) } })
await forerunner.enqueue({ tasks: [{ name: 'greet' }] })
const counted = await forerunner.run([count({ words: 'one two' }), greet()])
export const twice: number = (counted.result ?? 0) * 2
const whole = await client.runTasks({ tasks: [greet(1), count({ words: '' }, { priority: 9 })], respond: 'all' })
export const second: number | undefined = whole.results?.[1]
// @ts-expect-error the input has no such member
await forerunner.run([count({ word: 'one' })])
// @ts-expect-error words are text
await client.enqueue([count({ words: 1 })])
// @ts-expect-error the result is a number
export const text: string | undefined = counted.result
// @ts-expect-error the second result is no object
whole.results?.[1].hello
// @ts-expect-error there is no such task
await client.runTasks({ tasks: [{ name: 'great' }] })
// @ts-expect-error the result has no such member
export const goodbye = result?.goodbye
`

export const ownTest = `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defineTask } from 'forerunner'
import { runTask, startTestForerunner } from 'forerunner/testing'
import count from '../workers/count.ts'

test('counts', async () => {
  const { result } = await runTask(count, { words: 'one two' })
  assert.equal(result, 2)
})

test('tries again', async () => {
  const tries: number[] = []
  const flaky = defineTask({
    run(_input, { attempt }) {
      tries.push(attempt)
      if (attempt === 1) throw new Error('not yet')
    },
  })
  await using forerunner = await startTestForerunner({ tasks: { flaky, count } })
  const { result } = await forerunner.run([count({ words: 'one' }), flaky(null, { delayMs: 86_400_000 })])
  assert.equal(result, 1)
  assert.deepEqual(await forerunner.drain(), { completed: 1, failed: 0, cancelled: 0 })
  assert.deepEqual(tries, [1, 2])
})
`

export const wrongTest = `import { runTask, startTestForerunner } from 'forerunner/testing'
import count from './workers/count.js'

await using forerunner = await startTestForerunner({ tasks: { count } })
// @ts-expect-error there is no such task
await forerunner.runTasks({ tasks: [{ name: 'number' }] })
// @ts-expect-error the input has no such member
await runTask(count, { word: '' })
// @ts-expect-error the result is a number
export const text: string = (await runTask(count, { words: '' })).result
// @ts-expect-error there is no such state
await forerunner.waitFor('id', 'done')
`
