/** Starting and stopping inside a process of somebody else's. */
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Middleware } from 'koa'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { pino } from 'pino'
import { createForerunner, type Forerunner, type ForerunnerOptions, type Logger } from 'forerunner'
import type { App } from '../../src/app.ts'
import { embed } from '../../src/library/forerunner.ts'
import { createLog } from '../../src/log.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { rejects } from '../harness/rejects.ts'
import { create, recipe, serve } from './instance.ts'

test('two instances live side by side, each with its own runs', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  const databaseUrl = (name: string) => `sqlite:${join(directory.path, `${name}.db`)}`
  await using one = create({ databaseUrl: databaseUrl('one') })
  await using two = create({ databaseUrl: databaseUrl('two'), tasksDir: recipe })
  await Promise.all([one.forerunner.start(), two.forerunner.start()])
  await using apps = await serve(one.forerunner.middleware())
  await using other = await serve(two.forerunner.middleware())
  const run = await one.forerunner.run({ tasks: [{ name: 'echo', input: 1 }] })
  assert.is((await two.forerunner.run()).result, 'First result')
  await rejects(two.forerunner.run({ tasks: [{ name: 'echo' }] }), 'unknown-task')
  assert.is((await fetch(`${apps.url}/runs/${run.id}`)).status, 200)
  assert.is((await fetch(`${other.url}/runs/${run.id}`)).status, 404)
  await one.forerunner.stop()
  await rejects(one.forerunner.run({ tasks: [{ name: 'echo' }] }), 'shutting-down')
  assert.is((await two.forerunner.run()).result, 'First result')
})

test('start() rejects when an option is wrong, and names its setting', async () => {
  const wrong: [ForerunnerOptions, string][] = [
    [{ threads: 0 }, 'threads'],
    [{ ioConcurrency: 1.5 }, 'ioConcurrency'],
    [{ maxBacklog: -1 }, 'maxBacklog'],
    [{ maxBodyBytes: Number.NaN }, 'maxBodyBytes'],
    [{ databaseUrl: 'mysql://localhost' }, 'databaseUrl'],
    [{ tasksDir: '/nowhere/at/all' }, '/nowhere/at/all'],
    [{ databaseUrl: 'sqlite:/dev/null/forerunner.db' }, '/dev/null/forerunner.db'],
  ]
  for (const [options, name] of wrong) {
    const { forerunner } = create(options)
    const { message } = await rejects(forerunner.start(), 'BootError')
    assert.ok(message.includes(name), message)
    await rejects(forerunner.run(), 'BootError')
  }
})

test('explains an error of use before the start', async () => {
  const { forerunner } = create()
  const { message } = await rejects(forerunner.run(), 'Error')
  assert.ok(message.includes('start()'), message)
  const errors: unknown[] = []
  const catching: Middleware = (_ctx, next) => next().catch((error: unknown) => void errors.push(error))
  await using app = await serve(catching, forerunner.middleware())
  await fetch(`${app.url}/livez`)
  assert.ok(String(errors[0]).includes('start()'), String(errors[0]))
  await forerunner.stop()
})

test('starts and stops can be repeated', async () => {
  const lost: Error[] = []
  await using instance = create({ onLost: (error) => lost.push(error) })
  const { forerunner } = instance
  await Promise.all([forerunner.start(), forerunner.start()])
  await forerunner.start()
  assert.is((await forerunner.run({ tasks: [{ name: 'echo', input: 1 }] })).result, 1)
  await Promise.all([forerunner.stop(), forerunner.stop(), forerunner.stop()])
  await forerunner.stop()
  assert.equal(lost, [])
  await rejects(forerunner.run({ tasks: [{ name: 'echo' }] }), 'shutting-down')
})

test('stop() sends callers that wait for an answer the current run', async () => {
  await using instance = create()
  const { forerunner } = instance
  await forerunner.start()
  const meeting = 'library/stop'
  const running = forerunner.run({ tasks: [{ name: 'meet', input: { meeting, count: 3 } }] })
  // Whom the test has heard is running, and waits for a third who never comes.
  await attend({ meeting, count: 2 }, 'the test')
  await forerunner.stop()
  const run = await running
  assert.is(run.answer, null)
  assert.is(run.state, 'running')
})

test('writes its log to the logger of the host', async () => {
  const lines: string[] = []
  const write = (level: string) => (fields: unknown, message?: unknown) => {
    lines.push(`${level}: ${String(message ?? fields)}`)
  }
  const logger = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  await using instance = create({ logger })
  await instance.forerunner.start()
  await instance.forerunner.runTasks({ tasks: [{ name: 'tell' }] }).catch(() => {})
  assert.ok(
    lines.some((line) => line.startsWith('info: loaded ')),
    lines.join('\n'),
  )
  const ofPino: string[] = []
  const host = pino({ level: 'info' }, { write: (line) => void ofPino.push(line) })
  await using other = create({ logger: host.child({ part: 'jobs' }), tasksDir: recipe })
  await other.forerunner.start()
  const [first] = ofPino.map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.equal([first?.['part'], first?.['tasks']], ['jobs', ['first', 'second', 'third']])
  assert.is(ofPino.filter((line) => line.includes('"level":20')).length, 0, 'its level counts')
  const { forerunner } = create({ logger: {} as Logger })
  const { message } = await rejects(forerunner.start(), 'TypeError')
  assert.match(message, 'debug')
})

test('a logger that throws fails no run, and keeps nothing open', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  const databaseUrl = `sqlite:${join(directory.path, 'runs.db')}`
  let isBroken = false
  const write = (): void => {
    if (isBroken) throw new Error('the log is closed')
  }
  const logger = { debug: write, info: write, warn: write, error: write }
  const { forerunner } = create({ databaseUrl, logger })
  await forerunner.start()
  isBroken = true
  const run = await forerunner.runTasks({ tasks: [{ name: 'echo', input: 1 }, { name: 'fail' }] })
  assert.is((await forerunner.waitForRun(run.id)).state, 'failed')
  await forerunner.stop()
  await using next = create({ databaseUrl })
  await next.forerunner.start()
})

test('closes everything even if jobs could not be handed back, and says so', async () => {
  const calls: string[] = []
  const app = {
    connect: () => () => assert.unreachable(),
    async drain() {
      calls.push('drain')
      throw new Error('no')
    },
    async close() {
      calls.push('close')
    },
  }
  const forerunner = embed(async () => ({ app: app as unknown as App, log: createLog('silent') }))
  await forerunner.start()
  await rejects(forerunner.stop(), 'Error')
  assert.equal(calls, ['drain', 'close'])
})

test('stops when its block ends', async () => {
  let left: Forerunner | undefined
  {
    await using forerunner = createForerunner({ databaseUrl: 'sqlite::memory:', tasksDir: recipe, logLevel: 'silent' })
    left = forerunner
    await forerunner.start()
    assert.is((await forerunner.stats()).backlog, 0)
  }
  await rejects(left.runTasks(), 'shutting-down')
})

test.run()
