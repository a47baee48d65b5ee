/** JSON that is made to confuse: names that objects have already, numbers that are none, depth, and length. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readRun } from '../harness/run.ts'
import { type Service, shareService, startService } from '../harness/service.ts'
import { expectProblem, pointersOf } from './expect-problem.ts'

const withInput = (input: string) => `{"tasks":[{"name":"echo","input":${input}}]}`

async function resultOf(service: Service, input: string): Promise<string> {
  const response = await service.post('/run-tasks', withInput(input))
  assert.is(response.status, 200, input)
  const { id } = await readRun(response)
  const text = await (await service.get(`/runs/${id}`)).text()
  return /"result":(?<result>.*?),"answer"/.exec(text)?.groups?.['result'] ?? ''
}

test('passes members named like those of every object on as plain data', async () => {
  await using service = await shareService()
  const inputs = [
    '{"__proto__":{"isAdmin":true}}',
    '{"constructor":{"prototype":{"isAdmin":true}}}',
    '{"a":{"__proto__":1,"__proto__x":2},"toString":null,"hasOwnProperty":3,"then":4,"toJSON":5,"length":6}',
    '[{"__proto__":[]}]',
  ]
  for (const input of inputs) assert.is(await resultOf(service, input), input)
  assert.is(Reflect.get({}, 'isAdmin'), undefined)
})

async function expectLoss(service: Service, body: string, pointer: string): Promise<void> {
  const problem = await expectProblem(await service.post('/run-tasks', body), 'validation-error')
  assert.equal(pointersOf(problem), [pointer], body)
}

test('refuses a member that hides another one of its name', async () => {
  await using service = await shareService()
  const inputs = {
    '{"a":1,"a":2}': '/a',
    '{"a":1,"b":"a\\":","a" : 1}': '/a',
    [String.raw`{"a":1,"\u0061":1}`]: '/a',
    '[{},{"x":{"__proto__":1,"__proto__":1}}]': '/1/x/__proto__',
    '{"a/b":{"~":[0,{"":1,"":2}]}}': '/a~1b/~0/1/',
    [`{"filler":"${'x'.repeat(200_000)}","n":[[{"a":{"b":1,"c":{},"b":2}}]]}`]: '/n/0/0/a/b',
  }
  for (const [input, pointer] of Object.entries(inputs)) {
    await expectLoss(service, withInput(input), `/tasks/0/input${pointer}`)
  }
  await expectLoss(service, '{"tasks":[{"name":"nope"}],"tasks":[{"name":"echo"}]}', '/tasks')
  for (const alike of [
    '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}',
    String.raw`{"a":"\"a\":1","b":":","c":{"\"":1,"\\":2},"d":"\\"}`,
    '{"a":1,"A":2,"a ":3,"":4}',
  ]) {
    assert.is(await resultOf(service, alike), JSON.stringify(JSON.parse(alike)), alike)
  }
})

test('refuses a number that a task would be given as another one', async () => {
  await using service = await shareService()
  const numbers = [
    '9007199254740993',
    '-12345678901234567890',
    '9007199254740993.0',
    '9007199254740993e0',
    '9007199254740993.0E+2',
    '1e400',
    '-1e400',
    `1${'0'.repeat(400)}`,
    '1e-400',
    `0.${'0'.repeat(400)}1`,
  ]
  for (const number of numbers) {
    await expectLoss(service, withInput(number), '/tasks/0/input')
    await expectLoss(service, withInput(`{"a":["1e400",[${number}]]}`), '/tasks/0/input/a/1/0')
  }
})

test('takes any other number as JSON does', async () => {
  await using service = await shareService()
  const numbers = {
    '-0': '0',
    '1e2': '100',
    '1.10': '1.1',
    '0.1': '0.1',
    '0.12345678901234567890': '0.12345678901234568',
    '9007199254740992': '9007199254740992',
    '36893488147419103232': '36893488147419103000',
    '36893488147419103000': '36893488147419103000',
    '1e23': '1e+23',
    '0e999': '0',
    '5e-324': '5e-324',
    '["12345678901234567890","1e400"]': '["12345678901234567890","1e400"]',
  }
  for (const [sent, kept] of Object.entries(numbers)) assert.is(await resultOf(service, sent), kept, sent)
  for (const none of ['NaN', 'Infinity', '-Infinity', '0x10', '1_000', '.5', '5.', '+1', '--1', '1e', '01', '1n']) {
    await expectProblem(await service.post('/run-tasks', withInput(none)), 'malformed-json')
  }
})

test('takes no number for a setting that is not a whole one within its bounds', async () => {
  await using service = await shareService()
  for (const member of ['timeoutMs', 'maxAttempts', 'priority', 'delayMs']) {
    for (const value of ['1e400', '-1e400', '9007199254740993', '1e300', '1.5', '1e-400x', '"1e3"', '"5"', '[]']) {
      const body = `{"tasks":[{"name":"echo","${member}":${value}}]}`
      const response = await service.post('/run-tasks', body)
      if (value.endsWith('x')) await expectProblem(response, 'malformed-json')
      else {
        const pointers = pointersOf(await expectProblem(response, 'validation-error'))
        assert.equal([...new Set(pointers)], [`/tasks/0/${member}`], value)
      }
    }
  }
  // Minus zero is a zero.
  const zero = await service.post('/run-tasks', '{"tasks":[{"name":"echo","priority":-0,"delayMs":-0}]}')
  assert.is(zero.status, 200)
})

test('refuses a million levels without taking harm', async () => {
  await using service = await startService({ maxBodyBytes: 8_000_000 })
  const depth = 1_000_000
  await expectProblem(await service.post('/run-tasks', '['.repeat(depth)), 'malformed-json')
  const arrays = withInput('['.repeat(depth) + ']'.repeat(depth))
  await expectProblem(await service.post('/run-tasks', arrays), 'validation-error')
  const objects = withInput('{"a":'.repeat(depth) + '1' + '}'.repeat(depth))
  await expectProblem(await service.post('/run-tasks', objects), 'validation-error')
  assert.is((await service.get('/livez')).status, 200)
})

test('counts ten thousand tasks before it looks at one', async () => {
  await using service = await shareService()
  for (const task of ['{"name":"echo"}', '{}', '0', '{"name":"nope","x":1}']) {
    const response = await service.post('/run-tasks', `{"tasks":[${`${task},`.repeat(9_999)}${task}]}`)
    const problem = await expectProblem(response, 'too-many-tasks')
    assert.equal(pointersOf(problem), ['/tasks'])
  }
})

test.run()
