/** What a task logs is one line with its ids, whatever it is given and in whichever order. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { TaskLog } from '../../src/domain/task.ts'
import { createTaskLog, type TaskLine } from '../../src/execution/task-context.ts'
import { createLog } from '../../src/log.ts'
import { openPool } from '../harness/pool.ts'
import { startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'

const ids = { runId: 'run-1', jobIndex: 2, attempt: 3, task: 'tells' }

function logged(write: (log: TaskLog) => void): TaskLine[] {
  const lines: TaskLine[] = []
  write(createTaskLog(ids, (line) => lines.push(line)).log)
  return lines
}

function only(write: (log: TaskLog) => void): TaskLine {
  const [line, ...more] = logged(write)
  assert.equal(more, [])
  if (line === undefined) throw new Error('no line')
  return line
}

test('the message comes first or the fields do', () => {
  const expected = { level: 'info', message: 'text', fields: { ...ids, fields: { a: 1 } } }
  assert.equal(
    only(({ info }) => info('text', { a: 1 })),
    expected,
  )
  assert.equal(
    only(({ info }) => info({ a: 1 }, 'text')),
    expected,
  )
  assert.equal(
    only(({ warn }) => warn('text')),
    { level: 'warn', message: 'text', fields: ids },
  )
  assert.equal(
    only(({ debug }) => debug({ a: 1 })),
    { level: 'debug', message: '', fields: { ...ids, fields: { a: 1 } } },
  )
  assert.equal(only(({ error }) => error(7, 8)).fields, { ...ids, fields: 8 })
})

test('no argument is lost', () => {
  const write = (...given: unknown[]) =>
    only(({ info }) => {
      Reflect.apply(info, undefined, given)
    })
  const { message, fields } = write('user %s', 'Ann', { a: 1 }, 2)
  assert.equal([message, fields.fields], ['user %s', ['Ann', { a: 1 }, 2]])
  assert.equal(write({ a: 1 }, { b: 2 }).fields.fields, [{ a: 1 }, { b: 2 }])
  const two = write(new Error('first'), new Error('second')).fields
  assert.is(Reflect.get(Object(two.error), 'message'), 'first')
  assert.is(Reflect.get(Object(two.fields), 'message'), 'second')
})

test('fields never override the line’s own members', () => {
  const fields = { level: 'fatal', time: 'x', msg: 'y', runId: 'another', fields: 1 }
  assert.equal(only(({ info }) => info('text', fields)).fields, { ...ids, fields })
})

test('an error keeps its stack, in any position', () => {
  const thrown = Object.assign(new RangeError('broken', { cause: new Error('why') }), { code: 'E_X' })
  const lines = logged(({ error }) => {
    error(thrown)
    error('text', thrown)
    error(thrown, 'text')
    error(thrown, { a: 1 })
    error({ a: 1 }, thrown)
  })
  assert.equal(
    lines.map(({ message }) => message),
    ['broken', 'text', 'text', 'broken', 'broken'],
  )
  for (const { fields } of lines) {
    const { stack, cause, ...rest } = Object(fields.error) as Record<string, unknown>
    assert.equal(rest, { message: 'broken', name: 'RangeError', taskCode: 'E_X' })
    assert.match(String(stack), 'task-log.test')
    assert.is(Reflect.get(Object(cause), 'message'), 'why')
  }
  assert.equal(lines[4]?.fields.fields, { a: 1 })
  const { fields } = only(({ warn }) => warn({ err: thrown, list: [new DOMException('stopped')] }, 'text')).fields
  const { err, list } = Object(fields) as Record<string, unknown>
  assert.match(String(Reflect.get(Object(err), 'stack')), 'task-log.test')
  assert.is(Reflect.get(Object(Reflect.get(Object(list), '0')), 'message'), 'stopped')
})

test('for any arguments it throws nothing, and the line is plain and bounded', () => {
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  const trap = new Proxy({}, { get: () => assert.unreachable('hostile'), ownKeys: () => [] })
  const values = [
    null,
    Symbol('x'),
    1n,
    { n: 1n },
    () => {},
    circle,
    trap,
    Object.create(null),
    '\uD800',
    'x'.repeat(1e6),
  ]
  for (const value of [...values, { huge: 'x'.repeat(1e6) }, new Error('\uD800'.repeat(1e6)), new Map()]) {
    for (const write of [(log: TaskLog) => log.info(value), (log: TaskLog) => log.info('text', value)]) {
      const line = only(write)
      assert.equal(structuredClone(line), line)
      assert.ok(JSON.stringify(line).length < 40_000)
      assert.ok(line.message.isWellFormed())
    }
  }
})

test('lines of a job that come too fast are dropped, and the log says how many', () => {
  const lines: TaskLine[] = []
  const { log, reportDropped } = createTaskLog(ids, (line) => lines.push(line))
  for (let line = 0; line < 10_000; line += 1) log.info('again')
  assert.ok(lines.length <= 2_001, `${lines.length} lines`)
  reportDropped()
  reportDropped()
  const reports = lines.flatMap(({ message }) => /^(\d+) lines of a job were dropped/.exec(message)?.slice(1) ?? [])
  const kept = lines.filter(({ message }) => message === 'again').length
  assert.is(
    reports.reduce((sum, count) => sum + Number(count), kept),
    10_000,
  )
})

test('lines of many jobs that come too fast are dropped', () => {
  const begunAt = Date.now()
  let kept = 0
  let dropped = 0
  for (let job = 0; job < 100; job += 1) {
    const { log, reportDropped } = createTaskLog(ids, ({ message }) => {
      const [count] = /^\d+(?= lines of a job were dropped)/.exec(message) ?? []
      if (count === undefined) kept += 1
      else dropped += Number(count)
    })
    for (let line = 0; line < 500; line += 1) log.info('again')
    reportDropped()
  }
  const windows = 2 + (Date.now() - begunAt) / 100
  assert.ok(kept <= windows * 2_000, `${kept} lines in ${windows} windows`)
  assert.is(kept + dropped, 50_000)
})

test('a line of a job on a thread has the ids, the name of the task and its fields', async () => {
  const lines: unknown[][] = []
  const log = Object.assign(createLog('silent'), { info: (...line: unknown[]) => void lines.push(line) })
  await using opened = await openPool({}, log)
  await opened.outcomeOf({ task: 'logs-once' })
  await until('the line has come', () => lines.length > 0)
  const fields = { runId: 'run-1', jobIndex: 0, attempt: 1, task: 'logs-once', fields: { level: 'fatal' } }
  assert.equal(lines, [[fields, 'text']])
})

test('a hostile log line fails neither a first job nor one in the pool', async () => {
  await using service = await startService()
  const response = await service.post('/run-tasks', {
    tasks: [{ name: 'logs-oddly' }, { name: 'logs-oddly' }],
    respond: 'all',
  })
  assert.equal(Reflect.get(Object(await response.json()), 'results'), ['logged', 'logged'])
})

test.run()
