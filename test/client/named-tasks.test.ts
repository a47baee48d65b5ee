/** What the types know where it is said which tasks there are. The compiler checks it; a part of it runs, too. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { createClient, type Client, type RunInput, type RunView } from 'forerunner/client'
import { createForerunner, defineTask, type Forerunner } from 'forerunner'
import { create } from '../library/instance.ts'

const greet = defineTask({
  input: z.object({ name: z.string(), at: z.coerce.date().optional() }),
  run: ({ name }) => ({ text: `Hello, ${name}`, at: new Date(0), seen: undefined }),
})
const count = defineTask({ input: z.number().default(1), kind: 'io', run: async (input) => input + 1 })
const echo = defineTask({ run: (input) => input })

interface Tasks {
  greet: typeof greet
  count: typeof count
  echo: typeof echo
}

type Same<One, Other> = [One] extends [Other] ? ([Other] extends [One] ? true : false) : false

const ada = { name: 'greet', input: { name: 'Ada' } } as const
const two = { name: 'count', input: 2 } as const

/** Is compiled, and never called. */
export async function typed(client: Client<Tasks>, forerunner: Forerunner<Tasks>): Promise<void> {
  const first = await client.runTasks({ tasks: [ada, two] })
  void (true satisfies Same<typeof first.result, { text: string; at: string; seen: null } | undefined>)
  const enqueued = await forerunner.enqueue({ tasks: [{ name: 'count' }, { name: 'echo', input: 'anything' }] })
  void (true satisfies Same<typeof enqueued.result, number | undefined>)
  const raced = await client.runTasks({ tasks: [{ name: 'count' }, ada], respond: 'race' })
  void (true satisfies Same<NonNullable<typeof raced.result>, number | { text: string; at: string; seen: null }>)
  const all = await client.runTasks({ tasks: [{ name: 'count' }, ada], respond: 'all' })
  void (true satisfies Same<NonNullable<typeof all.results>[0], number>)
  void (true satisfies Same<NonNullable<typeof all.results>[1]['text'], string>)
  const run: RunView = first
  void (true satisfies Same<typeof run.result, unknown>)

  // @ts-expect-error there is no task of this name
  await client.runTasks({ tasks: [{ name: 'great', input: { name: 'Ada' } }] })
  // @ts-expect-error the input has no name
  await client.runTasks({ tasks: [{ name: 'greet', input: {} }] })
  // @ts-expect-error the input is left out
  await client.runTasks({ tasks: [{ name: 'greet' }] })
  // @ts-expect-error a number is wanted
  await forerunner.enqueue({ tasks: [{ name: 'count', input: 'two' }] })
  // @ts-expect-error the second is wrong
  await client.runTasks({ tasks: [two, { name: 'greet', input: 1 }] })
  // @ts-expect-error there is no such mode
  await client.runTasks({ tasks: [two], respond: 'last' })
  // @ts-expect-error the result has no such member
  void first.result?.name
  // @ts-expect-error a task returns something else
  void (true satisfies Same<typeof enqueued.result, string | undefined>)
}

/** As it is without names of tasks. */
export async function untyped(client: Client, request: RunInput): Promise<RunView> {
  const { result } = await client.runTasks({ tasks: [{ name: 'whatever', input: { any: 'thing' } }] })
  void (true satisfies Same<typeof result, unknown>)
  const made: Client<Tasks> = createClient<Tasks>({ baseUrl: 'http://127.0.0.1:3000' })
  const cron = '0 3 * * *'
  const own: Client<Tasks> = createForerunner<Tasks>({ schedules: { nightly: { cron, request: { tasks: [two] } } } })
  // @ts-expect-error there is no task of this name
  createForerunner<Tasks>({ schedules: { nightly: { cron, request: { tasks: [{ name: 'great' }] } } } })
  const anyOf: Client = own
  void anyOf
  void [made, own]
  await client.enqueue({})
  await client.runTasks()
  return client.runTasks(request)
}

test('nothing of the types is there at run time', async () => {
  await using instance = create()
  await instance.forerunner.start()
  const forerunner = instance.forerunner as unknown as Forerunner<{ echo: typeof echo }>
  const run = await forerunner.runTasks({ tasks: [{ name: 'echo', input: ['a'] }] })
  assert.equal(run.result, ['a'])
})

test.run()
