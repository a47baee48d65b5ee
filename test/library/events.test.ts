/** Changes of all runs, as an emitter and as an iterator. */
import { once } from 'node:events'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog } from '../../src/log.ts'
import { createRunEvents, type RunEvent } from '../../src/library/events.ts'
import { rejects } from '../harness/rejects.ts'
import { create } from './instance.ts'

const log = createLog('silent')
const change = (runId: string, version: number, state: RunEvent['state'] = 'running') =>
  ({ runId, version, state, isAnswered: false, voided: [] }) as const

test('an emitter hears of each change and of each end', async () => {
  await using instance = create()
  const { forerunner } = instance
  const heard: RunEvent[] = []
  forerunner.events.on('change', (event) => heard.push(event))
  await forerunner.start()
  const failing = once(forerunner.events, 'failed')
  const completing = once(forerunner.events, 'completed')
  const { id } = await forerunner.runTasks({ tasks: [{ name: 'echo', input: 1 }] })
  assert.is((await completing)[0].id, id)
  const { id: other } = await forerunner.enqueue({ tasks: [{ name: 'fail' }] })
  const [event] = await failing
  assert.equal([event.id, event.state, event.isAnswered], [other, 'failed', true])
  assert.equal(
    heard.filter((each) => each.state !== 'running').map((each) => each.id),
    [id, other],
  )
  const cancelling = once(forerunner.events, 'cancelled')
  const waiting = await forerunner.enqueue({ tasks: [{ name: 'wait', input: { ms: 60_000 } }] })
  await forerunner.cancel(waiting.id)
  assert.is((await cancelling)[0].id, waiting.id)
})

test('gets the changes of recovered jobs during the start', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  const databaseUrl = `sqlite:${join(directory.path, 'jobs.db')}`
  const before = create({ databaseUrl })
  await before.forerunner.start()
  const request = {
    tasks: [
      { name: 'wait', input: { ms: 60_000 } },
      { name: 'echo', delayMs: 1 },
    ],
  }
  const { id } = await before.forerunner.enqueue(request)
  await before.forerunner.stop()
  await using instance = create({ databaseUrl })
  const heard = once(instance.forerunner.events, 'change')
  await Promise.all([instance.forerunner.start(), heard])
  assert.is((await heard)[0].id, id)
})

test('a loop gets new events, and ends when the service stops', async () => {
  await using instance = create()
  const { forerunner } = instance
  await forerunner.start()
  const seen: RunEvent[] = []
  const looping = (async () => {
    for await (const event of forerunner.events) seen.push(event)
  })()
  const run = await forerunner.runTasks({ tasks: [{ name: 'echo' }] })
  await forerunner.stop()
  await looping
  assert.equal(seen.at(-1), { id: run.id, state: 'completed', version: run.version, isAnswered: true })
  for await (const event of forerunner.events) assert.unreachable(`nothing comes any more, and not ${event.id}`)
})

test('a loop that is left is forgotten', async () => {
  const { events, publish, end } = createRunEvents()
  const seen: number[] = []
  const looping = (async () => {
    for await (const { version } of events) {
      seen.push(version)
      break
    }
  })()
  publish(change('a', 1), log)
  publish(change('b', 2), log)
  await looping
  publish(change('a', 3), log)
  assert.equal(seen, [1])
  end()
})

test('a slow loop gets the newest event of each run, in the order in which they came', async () => {
  const { events, publish } = createRunEvents()
  const loop = events[Symbol.asyncIterator]()
  for (const [id, version] of [
    ['a', 1],
    ['b', 1],
    ['a', 2],
    ['c', 1],
    ['a', 3],
  ] as const)
    publish(change(id, version), log)
  const seen: string[] = []
  for (let index = 0; index < 3; index += 1) {
    const { value } = await loop.next()
    seen.push(`${value?.id}${value?.version}`)
  }
  assert.equal(seen, ['b1', 'c1', 'a3'])
  const waiting = loop.next()
  publish(change('d', 9), log)
  assert.is((await waiting).value?.id, 'd')
})

test('a slow loop is informed, and needs no more memory', async () => {
  const { events, publish } = createRunEvents()
  const loop = events[Symbol.asyncIterator]()
  for (let run = 0; run <= 100_000; run += 1) publish(change(String(run), 1), log)
  assert.match((await rejects(loop.next(), 'Error')).message, 'behind')
  assert.is((await loop.next()).done, true)
})

test('a listener that throws does not affect others', async () => {
  const { events, publish } = createRunEvents()
  const errors: unknown[] = []
  const noting = { ...log, error: (fields: object) => void errors.push(Reflect.get(fields, 'err')) } as typeof log
  const heard: string[] = []
  events.on('change', () => {
    throw new Error('of the listener')
  })
  events.on('completed', ({ id }) => heard.push(id))
  publish(change('a', 2, 'completed'), noting)
  assert.equal([heard, errors.map(String)], [['a'], ['Error: of the listener']])
})

test.run()
