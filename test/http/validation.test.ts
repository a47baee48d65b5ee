/** A request that has not the form of the contract is refused whole, with a pointer to each wrong place. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { countJobs } from '../harness/run.ts'
import { type Service, shareService, startService } from '../harness/service.ts'
import { expectProblem, pointersOf } from './expect-problem.ts'

type Entry = Readonly<Record<string, unknown>>

const echo = { name: 'echo' }
const withEntry = (entry: Entry) => ({ respond: 'none', tasks: [{ ...echo, ...entry }] })

async function pointers(service: Service, body: unknown): Promise<string[]> {
  return pointersOf(await expectProblem(await service.post('/run-tasks', body), 'validation-error'))
}

async function isTaken(service: Service, body: unknown): Promise<boolean> {
  return (await service.post('/run-tasks', body)).ok
}

test('points to each unknown member', async () => {
  await using service = await shareService()
  const cases: [unknown, string[]][] = [
    [{ task: [] }, ['/task']],
    [{ tasks: [echo], 'a/b~c': 1, '': 2 }, ['/a~1b~0c', '/']],
    [{ tasks: [echo, { ...echo, retries: 1, 'x/y': 2 }] }, ['/tasks/1/retries', '/tasks/1/x~1y']],
    ['{"tasks":[{"name":"echo","__proto__":{}}]}', ['/tasks/0/__proto__']],
    ['{"tasks":[{"name":"echo"}],"__proto__":{"respond":"none"}}', ['/__proto__']],
    ['{"tasks":[{"name":"echo"}],"constructor":1,"toString":2}', ['/constructor', '/toString']],
  ]
  for (const [body, expected] of cases) assert.equal(await pointers(service, body), expected, JSON.stringify(body))
  assert.is(await countJobs(service), 0)
})

test('points to each member of a wrong type', async () => {
  await using service = await shareService()
  const cases: [unknown, string[]][] = [
    [{ tasks: 'echo' }, ['/tasks']],
    [{ tasks: null }, ['/tasks']],
    [{ tasks: { 0: echo } }, ['/tasks']],
    [{ tasks: [] }, ['/tasks']],
    [{ tasks: ['echo', null, []] }, ['/tasks/0', '/tasks/1', '/tasks/2']],
    [{ tasks: [{}] }, ['/tasks/0/name']],
    [{ tasks: [{ name: '' }] }, ['/tasks/0/name']],
    [{ tasks: [{ name: 7 }, echo, { name: null }] }, ['/tasks/0/name', '/tasks/2/name']],
    [{ tasks: [echo], respond: 'last' }, ['/respond']],
    [{ tasks: [echo], respond: null }, ['/respond']],
    [{ tasks: [echo], respond: ['first'] }, ['/respond']],
    [{ tasks: [echo], tags: 'a' }, ['/tags']],
    [{ tasks: [echo], tags: null }, ['/tags']],
    [{ tasks: [{}], respond: 1, tags: [1] }, ['/tasks/0/name', '/respond', '/tags/0']],
  ]
  for (const [body, expected] of cases) assert.equal(await pointers(service, body), expected, JSON.stringify(body))
  assert.is(await countJobs(service), 0)
})

test('takes each number of a task entry within its bounds, and no other', async () => {
  await using service = await shareService()
  const bounds = {
    timeoutMs: [1, 86_400_000],
    maxAttempts: [1, 100],
    priority: [0, 9],
    delayMs: [0, 31_536_000_000],
    expiresMs: [1, 31_536_000_000],
  } as const
  for (const [member, [min, max]] of Object.entries(bounds)) {
    for (const good of [min, max]) assert.ok(await isTaken(service, withEntry({ [member]: good })), `${member} ${good}`)
    for (const bad of [min - 1, max + 1, min + 0.5, `${min}`, null, true, [min], {}]) {
      const body = withEntry({ [member]: bad })
      assert.equal(await pointers(service, body), [`/tasks/0/${member}`], `${member} ${JSON.stringify(bad)}`)
    }
    // JSON has no infinity, and this is what comes nearest to it.
    const infinite = `{"tasks":[{"name":"echo","${member}":1e999}]}`
    assert.equal(await pointers(service, infinite), [`/tasks/0/${member}`])
  }
})

test('takes up to 16 tags of 1 to 64 characters', async () => {
  await using service = await shareService()
  const tagged = (tags: unknown) => ({ tasks: [echo], tags })
  const many = (count: number) => Array.from({ length: count }, (_, index) => `tag-${index}`)
  for (const good of [[], ['a'], many(16), ['x'.repeat(64)], ['order:42', 'ü/~ "']]) {
    assert.ok(await isTaken(service, tagged(good)), JSON.stringify(good))
  }
  assert.equal(await pointers(service, tagged(many(17))), ['/tags'])
  assert.equal(await pointers(service, tagged(['a', '', 'x'.repeat(65), 1])), ['/tags/1', '/tags/2', '/tags/3'])
})

test('refuses to delay the first job, unless respond is none', async () => {
  await using service = await shareService()
  const delayed = (respond: string, delayMs: number) => ({ respond, tasks: [{ ...echo, delayMs }, echo] })
  for (const respond of ['first', 'race', 'any', 'all']) {
    assert.equal(await pointers(service, delayed(respond, 1)), ['/tasks/0/delayMs'], respond)
    assert.ok(await isTaken(service, delayed(respond, 0)), respond)
  }
  assert.ok(await isTaken(service, delayed('none', 1)))
})

test('names every task that is not known', async () => {
  await using service = await shareService()
  const names = ['nope', 'echo', 'Echo', 'echo ', '../tasks/echo', '__proto__', 'constructor', 'x'.repeat(64)]
  const body = { tasks: names.map((name) => ({ name })) }
  const problem = await expectProblem(await service.post('/run-tasks', body), 'unknown-task')
  assert.equal(
    pointersOf(problem),
    [0, 2, 3, 4, 5, 6, 7].map((index) => `/tasks/${index}/name`),
  )
  assert.is(await countJobs(service), 0)
})

test("points into the input that does not fit its task's schema", async () => {
  await using service = await shareService()
  const sum = (input?: unknown) => ({ name: 'sum', ...(input !== undefined && { input }) })
  const cases: [unknown[], string[]][] = [
    [
      [echo, sum({ numbers: [1, 'x', 2, null] })],
      ['/tasks/1/input/numbers/1', '/tasks/1/input/numbers/3'],
    ],
    [
      [sum({ numbers: [] }), sum({})],
      ['/tasks/0/input/numbers', '/tasks/1/input/numbers'],
    ],
    [[sum()], ['/tasks/0/input']],
    [
      [sum(null), sum([1])],
      ['/tasks/0/input', '/tasks/1/input'],
    ],
    [[{ ...sum({ numbers: 1 }), delayMs: 1 }], ['/tasks/0/input/numbers', '/tasks/0/delayMs']],
  ]
  for (const [tasks, expected] of cases) {
    assert.equal(await pointers(service, { tasks }), expected, JSON.stringify(tasks))
  }
  assert.is(await countJobs(service), 0)
  assert.ok(await isTaken(service, { tasks: [sum({ numbers: [1, 2] })] }))
})

test('takes as many tasks as one run may have, and no more', async () => {
  await using service = await startService({ maxTasksPerRun: 3 })
  const tasks = (count: number) => ({ tasks: Array.from({ length: count }, () => echo) })
  assert.ok(await isTaken(service, tasks(3)))
  const problem = await expectProblem(await service.post('/run-tasks', tasks(4)), 'too-many-tasks')
  assert.equal(pointersOf(problem), ['/tasks'])
  assert.is(await countJobs(service), 3)
})

test('describes the first error, and counts the others', async () => {
  await using service = await shareService()
  const body = { tasks: [{ name: 'echo', retries: 1, delay: 2, priority: 10 }] }
  const { detail, errors, instance } = await expectProblem(await service.post('/run-tasks', body), 'validation-error')
  assert.is(instance, '/run-tasks')
  assert.is(errors?.length, 3)
  assert.ok(errors?.every((error) => error.detail.length > 0))
  assert.ok(detail.includes(errors?.[0]?.pointer ?? '?') && detail.includes('2 more'), detail)
})

test.run()
