/** Tasks that are asked for by their definitions, and tasks that are given by the addresses of their modules. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { createClient, type Client } from 'forerunner/client'
import { defineTask, type Forerunner, type TaskModules } from 'forerunner'
import shout from '../fixtures/called-tasks/shout.ts'
import { rejects } from '../harness/rejects.ts'
import { taskDirectory } from '../tasks/task-directory.ts'
import { create, recipe, serve } from './instance.ts'

const greet = defineTask({
  name: 'greet',
  input: z.object({ name: z.string() }),
  run: ({ name }) => ({ text: `Hello, ${name}`, at: new Date(0) }),
})
const count = defineTask({ input: z.number().default(1), kind: 'io', run: async (input) => input + 1 })
const echo = defineTask({ run: (input) => input })

type Same<One, Other> = [One] extends [Other] ? ([Other] extends [One] ? true : false) : false
interface Greeting {
  text: string
  at: string
}

/** Is compiled, and never called. */
export async function typed(forerunner: Forerunner, client: Client<{ echo: typeof echo }>): Promise<void> {
  const run = await forerunner.run([greet({ name: 'Ada' }), count()])
  void (true satisfies Same<typeof run.result, Greeting | undefined>)
  const whole = await client.enqueue({ tasks: [count(2, { delayMs: 5 }), greet({ name: 'Ada' })], tags: ['a'] })
  void (true satisfies Same<typeof whole.result, number | undefined>)
  const all = await forerunner.runTasks({ tasks: [count(), greet({ name: 'Ada' }), echo()], respond: 'all' })
  void (true satisfies Same<NonNullable<typeof all.results>[0], number>)
  void (true satisfies Same<NonNullable<typeof all.results>[1], Greeting>)
  const mixed = await client.runTasks([{ name: 'echo' }, count()])
  void (true satisfies Same<typeof mixed.result, unknown>)
  await client.runTasks([count(), greet({ name: 'Ada' }, { after: [0] }), { name: 'echo', after: [0, 1] }])
  const raced = await client.runTasks({ tasks: [count(), greet({ name: 'Ada' })], respond: 'any' })
  void (true satisfies Same<NonNullable<typeof raced.result>, number | Greeting>)
  const list = ['Ada', 'Grace'].map((name) => greet({ name }))
  const many = await forerunner.runTasks(list)
  void (true satisfies Same<typeof many.result, Greeting | undefined>)

  // @ts-expect-error the input has no name
  await forerunner.run([greet({})])
  // @ts-expect-error the input is left out
  await forerunner.run([greet()])
  // @ts-expect-error a number is wanted
  await forerunner.enqueue({ tasks: [greet({ name: 'Ada' }), count('two')] })
  // @ts-expect-error there is no such option
  await forerunner.run([count(1, { delay: 5 })])
  // @ts-expect-error there is no such mode
  await forerunner.run({ tasks: [count()], respond: 'last' })
  // @ts-expect-error the task was not called
  await forerunner.run([count])
  // @ts-expect-error there is no task of this name
  await client.runTasks([{ name: 'great' }, count()])
  // @ts-expect-error the result has no such member
  void run.result?.name
  // @ts-expect-error instants are text in JSON
  void run.result?.at.getTime()
}

const calledTasks = fileURLToPath(new URL('../fixtures/called-tasks/', import.meta.url))
const jsTask = (text: string): string => `export default { run: () => '${text}' }`

test('a definition is requested by the name of its module', async () => {
  await using instance = create({ tasksDir: calledTasks })
  const { forerunner } = instance
  await forerunner.start()
  const run = await forerunner.run([shout('hello'), { name: 'shout', input: 'you' }])
  assert.is(run.result, 'HELLO 0')
  const tasks = [shout('one', { priority: 3 }), shout('two')]
  const { id } = await forerunner.enqueue({ tasks, tags: ['called'] })
  const { jobs, tags } = await forerunner.waitForRun(id)
  assert.equal([tags, jobs.map(({ result }) => result)], [['called'], ['ONE 0', 'TWO 1']])
})

test('calling a definition runs nothing and changes nothing of it', async () => {
  const { run, ...members } = greet
  assert.equal([typeof run, Object.keys(members)], ['function', ['name', 'input']])
  assert.equal(Object.keys(count), ['input', 'kind', 'run'])
  assert.equal({ ...count(2, { priority: 1 }), task: null }, { priority: 1, task: null, input: 2 })
  assert.not('input' in echo())
})

test('a definition that the service does not know is refused, or known by its own name', async () => {
  await using instance = create({ tasksDir: recipe })
  const { forerunner } = instance
  await forerunner.start()
  const { message } = await rejects(forerunner.run([echo(1)]), 'TypeError')
  assert.match(message, 'defineTask({ name')
  await rejects(forerunner.run([greet({ name: 'Ada' })]), 'unknown-task')
  await rejects(forerunner.run(JSON.parse('[{"name":"first","task":{"run":1}}]')), 'TypeError')
  await rejects(forerunner.run(JSON.parse('[{"name":"first","task":"first"}]')), 'validation-error')
  const both = { ...greet({ name: 'Ada' }), name: 'first' }
  await rejects(forerunner.run([both]), 'unknown-task')
})

test('the other end of a network knows a definition by its own name', async () => {
  await using directory = await taskDirectory({ 'greet.js': "export default { name: 'greet', run: () => 'hello' }" })
  await using instance = create({ tasksDir: directory.path })
  await instance.forerunner.start()
  await using app = await serve(instance.forerunner.middleware())
  const client = createClient({ baseUrl: app.url })
  assert.equal((await client.runTasks([greet({ name: 'Ada' })])).result, 'hello')
  await rejects(client.runTasks([count()]), 'TypeError')
  await rejects(client.enqueue([count()]), 'TypeError')
})

test('takes tasks by the addresses of their modules, and trees of them', async () => {
  await using directory = await taskDirectory({
    'hello.js': jsTask('hello'),
    'reports/daily.js': jsTask('daily'),
    'reports/eu/weekly.js': jsTask('weekly'),
    'reports/_lib/shared.js': 'throw new Error("not to be loaded")',
    'reports/daily.test.js': 'throw new Error("not to be loaded")',
  })
  const address = (path: string): URL => pathToFileURL(join(directory.path, path))
  const given: TaskModules = {
    'say-hello': address('hello.js'),
    text: address('hello.js').href,
    path: join(directory.path, 'hello.js'),
    reports: address('reports/'),
  }
  await using instance = create({ tasks: given })
  const { forerunner } = instance
  await forerunner.start()
  const names = (await forerunner.listTasks()).map(({ name }) => name)
  assert.equal(names, ['path', 'reports-daily', 'reports-eu-weekly', 'say-hello', 'text'])
  const all = await forerunner.runTasks({ tasks: names.map((name) => ({ name })), respond: 'all' })
  assert.equal([...(all.results ?? [])], ['hello', 'daily', 'weekly', 'hello', 'hello'])
  await using tree = create({ tasks: address('./') })
  await tree.forerunner.start()
  const ofTree = (await tree.forerunner.listTasks()).map(({ name }) => name)
  assert.equal(ofTree, ['hello', 'reports-daily', 'reports-eu-weekly'])
})

test('refuses addresses that name no module, and says which', async () => {
  await using directory = await taskDirectory({ 'a.js': jsTask('a'), 'a-b.js': jsTask('b'), 'a/b.js': jsTask('c') })
  await mkdir(join(directory.path, 'empty'))
  const at = (path: string): URL => pathToFileURL(join(directory.path, path))
  const wrong: [TaskModules, RegExp][] = [
    [{ far: new URL('https://example.com/task.js') }, /"far" must be a path or a file: URL/],
    [{ far: '' }, /"far" must be/],
    [{ 'a b': at('a.js') }, /"a b" is no name/],
    [{ gone: at('gone.js') }, /gone\.js: cannot be loaded/],
    [{ gone: at('gone/') }, /cannot read the tasks directory .*gone/],
    [at('./'), /define the same task "a-b"/],
  ]
  for (const [tasks, expected] of wrong) {
    const { forerunner } = create({ tasks })
    assert.match((await rejects(forerunner.start(), 'BootError')).message, expected)
  }
  const { message } = await rejects(create({ tasks: {}, tasksDir: recipe }).forerunner.start(), 'BootError')
  assert.match(message, 'not both')
  await using named = await taskDirectory({ 'a.js': "export default { name: 'b', run() {} }" })
  assert.match(
    (await rejects(create({ tasksDir: named.path }).forerunner.start(), 'BootError')).message,
    'its name is "b"',
  )
})

test.run()
