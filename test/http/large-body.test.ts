/** A large body is parsed in a thread of its own, with the same result as a small one. */
import diagnostics from 'node:diagnostics_channel'
import type { Worker } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLargeBodyParser } from '../../src/http/body/large-body-parser.ts'
import { readRun } from '../harness/run.ts'
import { shareService } from '../harness/service.ts'
import { expectProblem, pointersOf } from './expect-problem.ts'

const filler = 'x'.repeat(300_000)
const maxBytes = 64 * 1_048_576

const bodyOf = (text: string) => ({ bytes: Buffer.from(text), coding: null })

test('inputs arrive as they were sent', async () => {
  await using service = await shareService()
  const inputs = [
    `{"text":"${filler}","__proto__":{"a":1},"toJSON":2,"nested":[[[]]],"number":1e3}`,
    '["ä€😀\\u0000\\ud800", -0.5, 1234567890123456, true, null]',
    '"text"',
    'null',
    '{"tasks":[{"input":1}]}',
  ]
  const body = `{"respond":"all","tasks":[${inputs.map((input) => `{"name":"echo","input":${input}}`).join()}]}`
  const response = await service.post('/run-tasks', body)
  assert.is(response.status, 200)
  const { results = [] } = await readRun(response)
  assert.equal(
    results.map((result) => JSON.stringify(result)),
    inputs.map((input) => JSON.stringify(JSON.parse(input))),
  )
})

test('a missing input stays missing', async () => {
  await using service = await shareService()
  const body = { tags: [], tasks: [{ name: 'echo' }, { name: 'echo', input: filler }] }
  const response = await service.post('/run-tasks', body)
  assert.is(response.status, 200)
  assert.is((await readRun(response)).result, null)
})

test('an input is validated by the schema of its task', async () => {
  await using service = await shareService()
  const numbers: unknown[] = Array.from({ length: 100_000 }, (_, index) => index)
  const taken = await service.post('/run-tasks', { tasks: [{ name: 'sum', input: { numbers } }] })
  assert.is((await readRun(taken)).result, 4_999_950_000)
  numbers[70_000] = 'x'
  const refused = await service.post('/run-tasks', { tasks: [{ name: 'echo' }, { name: 'sum', input: { numbers } }] })
  assert.equal(pointersOf(await expectProblem(refused, 'validation-error')), ['/tasks/1/input/numbers/70000'])
})

test('its errors are the same as for a small body', async () => {
  await using service = await shareService()
  const input = `"input":"${filler}"`
  const cases = [
    [`{"tasks":[{"name":"echo",${input},"__proto__":1}],"task":2}`, ['/tasks/0/__proto__', '/task']],
    [`{"tasks":[null,7,{"name":7,${input}}]}`, ['/tasks/0', '/tasks/1', '/tasks/2/name']],
    [`{"tasks":{"0":{${input}}}}`, ['/tasks']],
    [`["${filler}"]`, ['']],
    [`{"tasks":[{"name":"echo","input":["${filler}",${'['.repeat(300)}${']'.repeat(300)}]}]}`, ['']],
  ] as const
  for (const [body, pointers] of cases) {
    const problem = await expectProblem(await service.post('/run-tasks', body), 'validation-error')
    assert.equal(pointersOf(problem), pointers, body.replaceAll(filler, ''))
  }
  const broken = await expectProblem(await service.post('/run-tasks', `{"tasks":[{${input}]}`), 'malformed-json')
  assert.match(broken.detail, /^the body could not be read as JSON: .+position \d+/)
})

test('a body that kills the thread does not affect the others', async () => {
  const threads: Worker[] = []
  const onThread = (message: unknown): void => void threads.push(Reflect.get(Object(message), 'worker') as Worker)
  diagnostics.subscribe('worker_threads', onThread)
  const parser = createLargeBodyParser()
  try {
    const fatal = parser.parse(bodyOf(`"${filler}"`), maxBytes).then(
      () => 'parsed',
      ({ message }: Error) => message,
    )
    const other = parser.parse(bodyOf(`["${filler}"]`), maxBytes)
    void threads[0]?.terminate()
    assert.is(await fatal, 'the thread that parses bodies ended while it parsed one')
    assert.equal(await other, { ok: true, value: [filler], bytes: filler.length + 4 })
    assert.is(threads.length, 2)
  } finally {
    parser.close()
    diagnostics.unsubscribe('worker_threads', onThread)
  }
})

test('bodies beyond its limit are refused, and so are waiting ones when it is closed', async () => {
  const parser = createLargeBodyParser()
  const codeOf = (parsing: Promise<unknown>): Promise<unknown> =>
    parsing.then(
      () => 'parsed',
      (error: unknown) => Reflect.get(Object(error), 'code'),
    )
  const huge = bodyOf(`"${'x'.repeat(40 * 1_048_576)}"`)
  const first = codeOf(parser.parse(huge, maxBytes))
  assert.is(await codeOf(parser.parse(huge, maxBytes)), 'overloaded')
  assert.is(await first, 'parsed')
  const waiting = [codeOf(parser.parse(huge, maxBytes)), codeOf(parser.parse(bodyOf(`"${filler}"`), maxBytes))]
  parser.close()
  assert.equal(await Promise.all(waiting), ['shutting-down', 'shutting-down'])
  assert.is(await codeOf(parser.parse(bodyOf(`"${filler}"`), maxBytes)), 'shutting-down')
})

test.run()
