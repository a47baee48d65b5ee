/** Input is checked by any Standard Schema, sync or async, and reaches the task as that schema parsed it. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import type { TaskContext } from '../../src/domain/task.ts'
import { runTask } from '../../src/execution/running-task.ts'
import { checkInput, inputJsonSchema, type Task } from '../../src/tasks/task-module.ts'
import { loadTask } from '../../src/tasks/module-loading.ts'

const { policy } = await loadTask('bare', 'data:text/javascript,export default { run() {} }')

function taskWith(input: StandardSchemaV1 | undefined): Task {
  return { name: 'task', definition: {}, url: 'file:///task.ts', policy, input, secret: [], run: (value) => value }
}

/** A schema of no library. */
function schema(validate: StandardSchemaV1.Props['validate']): StandardSchemaV1 {
  return { '~standard': { version: 1, vendor: 'test', validate } }
}

const context: TaskContext = {
  signal: new AbortController().signal,
  progress() {},
  log: { debug() {}, info() {}, warn() {}, error() {} },
  step: () => Promise.reject(new Error('no step was expected')),
  after: [],
  attempt: 1,
  runId: '01a20726-511c-723c-9ce9-a7c9e9b12f72',
  jobIndex: 0,
}

test('without a schema every value is accepted as it is', async () => {
  for (const value of [undefined, null, 0, { a: [] }]) {
    assert.equal(await checkInput(taskWith(undefined), value), { ok: true, value })
  }
})

test('gives the value that the schema made of it', async () => {
  const trimmed = z.object({ name: z.string().trim(), size: z.int().default(3) })
  assert.equal(await checkInput(taskWith(trimmed), { name: ' a ' }), { ok: true, value: { name: 'a', size: 3 } })
  const dated = z.iso.datetime().transform((text) => new Date(text))
  const checked = await checkInput(taskWith(dated), '2026-01-02T03:04:05Z')
  assert.instance(checked.ok && checked.value, Date)
})

test('waits for a schema that takes its time', async () => {
  const slow = schema(async (value) => (value === 1 ? { value: 'one' } : { issues: [{ message: 'not 1' }] }))
  assert.equal(await checkInput(taskWith(slow), 1), { ok: true, value: 'one' })
  assert.equal(await checkInput(taskWith(slow), 2), { ok: false, issues: [{ pointer: '', detail: 'not 1' }] })
  const refined = z.string().refine(async (text) => text === 'good', 'not good')
  assert.equal(await checkInput(taskWith(refined), 'good'), { ok: true, value: 'good' })
  assert.equal(await checkInput(taskWith(refined), 'bad'), { ok: false, issues: [{ pointer: '', detail: 'not good' }] })
})

test('points to the invalid place, for all forms of path in the standard', async () => {
  const path = ['a/b', { key: '~' }, 0, { key: Symbol.for('s') }]
  const checked = await checkInput(taskWith(schema(() => ({ issues: [{ message: 'wrong', path }] }))), {})
  assert.equal(checked, { ok: false, issues: [{ pointer: '/a~1b/~0/0/Symbol(s)', detail: 'wrong' }] })
})

test('an attempt gets the parsed value of the stored input', async () => {
  const schemas = [
    z.object({ n: z.number() }).transform(({ n }) => n * 2),
    schema(async (value) => ({ value: Number(Reflect.get(Object(value), 'n')) * 2 })),
  ]
  for (const input of schemas) {
    assert.equal(await runTask(taskWith(input), '{"n":21}', context), { ok: true, result: '42' })
  }
  const optional = z.string().default('absent')
  assert.equal(await runTask(taskWith(optional), null, context), { ok: true, result: '"absent"' })
})

test('an attempt fails for good if the stored input has become invalid', async () => {
  const outcome = await runTask(taskWith(z.object({ a: z.string() })), '{"a":1}', context)
  assert.is(outcome.ok, false)
  if (outcome.ok) return
  assert.is(outcome.error.code, 'task_error')
  assert.is(outcome.isRetryable, false)
  assert.ok(outcome.error.message.includes('/a'))
})

test('an attempt fails when the schema itself does, and may be tried again', async () => {
  const broken = [schema(() => Promise.reject(new Error('schema'))), schema(() => JSON.parse('{'))]
  for (const input of broken) {
    const outcome = await runTask(taskWith(input), '1', context)
    assert.is(!outcome.ok && outcome.error.code, 'task_error')
    assert.is(!outcome.ok && outcome.isRetryable, true)
  }
})

test('describes the input as JSON Schema if possible', () => {
  const told = inputJsonSchema(taskWith(z.strictObject({ a: z.int().min(1) })))
  assert.is(Reflect.get(Object(told), 'type'), 'object')
  assert.equal(Reflect.get(Object(told), 'required'), ['a'])
  assert.is(inputJsonSchema(taskWith(undefined)), null)
  const transformed = inputJsonSchema(taskWith(z.string().transform(() => new Date())))
  // What a schema takes can be told even where what it makes of it cannot.
  assert.is(Reflect.get(Object(transformed), 'type'), 'string')
})

test('describes the other parts of an input that JSON Schema cannot express', () => {
  const input = z.object({
    from: z.coerce.date(),
    to: z.coerce.date().describe('exclusive').optional(),
    id: z.bigint(),
    n: z.int(),
    any: z.unknown(),
  })
  const { properties, required } = Object(inputJsonSchema(taskWith(input))) as Record<string, Record<string, object>>
  assert.equal(properties?.['n'], {
    type: 'integer',
    minimum: Number.MIN_SAFE_INTEGER,
    maximum: Number.MAX_SAFE_INTEGER,
  })
  assert.equal(properties?.['from'], { description: 'date, which JSON Schema cannot say' })
  assert.equal(properties?.['to'], { description: 'exclusive' })
  assert.equal(properties?.['id'], { description: 'bigint, which JSON Schema cannot say' })
  assert.equal(properties?.['any'], {})
  assert.equal(required, ['from', 'id', 'n', 'any'])
  const whole = inputJsonSchema(taskWith(z.date()))
  assert.is(Reflect.get(Object(whole), 'description'), 'date, which JSON Schema cannot say')
})

test('says that there is a schema that cannot be shown', () => {
  const mute = schema((value) => ({ value }))
  assert.equal(inputJsonSchema(taskWith(mute)), { description: 'checked by test, which cannot say how' })
  const failing = {
    '~standard': { ...mute['~standard'], jsonSchema: { input: () => JSON.parse('{'), output: () => ({}) } },
  }
  assert.equal(inputJsonSchema(taskWith(failing)), { description: 'checked by test, which cannot say how' })
})

test.run()
