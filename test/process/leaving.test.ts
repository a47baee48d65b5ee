/** What is on its way into a commit when the service begins to leave is no exception: nothing is abandoned. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { pino } from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startApp, type App } from '../../src/app.ts'
import { createTransport } from '../../src/client/transport.ts'
import { createCalls } from '../../src/client/calls.ts'
import { configOf } from '../../src/config.ts'
import { createLog } from '../../src/log.ts'
import { fixtureTasks } from '../harness/service.ts'
import { readDatabase } from './database-file.ts'

const long = { name: 'wait', input: { ms: 60_000 } }
const short = { name: 'wait', input: { ms: 1 } }
const unspent = { state: 'queued', attempt: 0, lostStarts: 0 }

test('a run whose commit is under way when the service stops is handed back after the grace', async () => {
  using directory = makeDirectory()
  const app = await start(directory.databaseUrl, 50)
  const committing = commitOfRun()
  const answering = callsOf(app).runTasks({ tasks: [long] })
  await committing
  await stop(app)
  const run = await answering
  assert.is(run.answer, null)
  assert.equal(directory.jobs(), [unspent])
})

test('a run whose commit is under way when the service stops has the grace to end', async () => {
  using directory = makeDirectory()
  const app = await start(directory.databaseUrl, 30_000)
  const committing = commitOfRun()
  const answering = callsOf(app).runTasks({ tasks: [short] })
  await committing
  await stop(app)
  const run = await answering
  assert.is(run.result, 1)
  assert.equal(directory.jobs(), [{ state: 'completed', attempt: 1, lostStarts: 0 }])
})

test('a suspect whose claim is under way when the service stops is handed back', async () => {
  using directory = makeDirectory()
  const config = configOf({ databaseUrl: directory.databaseUrl, tasksDir: fixtureTasks, threads: 1 })
  const first = await startApp({ config, log: createLog('silent'), onLost: rethrow })
  const later = { delayMs: 60_000 }
  await callsOf(first).runTasks({ tasks: [short, long].map((task) => ({ ...task, ...later })), respond: 'none' })
  await stop(first)
  directory.makeSuspects()

  const { promise: completed, resolve } = Promise.withResolvers<void>()
  const log = pino({ level: 'debug' }, { write: (line) => line.includes('job completed') && resolve() })
  const second = await startApp({ config, log, onLost: rethrow })
  await completed
  // The claim of the next suspect is asked for within this turn, and answered after it.
  await turn()
  await stop(second)
  assert.equal(directory.jobs(), [
    { state: 'completed', attempt: 1, lostStarts: 2 },
    { ...unspent, lostStarts: 2 },
  ])
})

/** With a thread of its own for the store, whose messages are watched below. */
function start(databaseUrl: string, shutdownGraceMs: number): Promise<App> {
  const config = configOf({ databaseUrl, tasksDir: fixtureTasks, threads: 1, shutdownGraceMs })
  return startApp({ config, log: createLog('silent'), onLost: rethrow })
}

async function stop(app: App): Promise<void> {
  await app.drain()
  await app.close()
}

function callsOf(app: App) {
  return createCalls(createTransport({ baseUrl: 'http://forerunner', fetch: app.connect(''), isRemote: false }))
}

/** Resolves when a commit that accepts a run is on its way to the thread of the database. */
function commitOfRun(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { postMessage } = Worker.prototype
  Worker.prototype.postMessage = function (this: Worker, ...sent: unknown[]) {
    Reflect.apply(postMessage, this, sent)
    if (!JSON.stringify(sent[0]).includes('"verb":"accept"')) return
    Worker.prototype.postMessage = postMessage
    resolve()
  }
  return promise
}

function rethrow(error: Error): never {
  throw error
}

function makeDirectory() {
  const path = mkdtempSync(join(tmpdir(), 'forerunner-'))
  const databasePath = join(path, 'test.db')
  return {
    databaseUrl: `sqlite:${databasePath}`,
    jobs: () =>
      readDatabase(databasePath).jobs.map(({ state, attempt, lostStarts }) => {
        return { state, attempt, lostStarts }
      }),
    /** As if the waiting jobs had run twice while the process died. */
    makeSuspects() {
      using database = new DatabaseSync(databasePath)
      // Each job of a record has its lost starts and when it is due.
      for (const job of [0, 1]) {
        database.exec(`UPDATE record SET
          record = json_set(record, '$[7][${job}][8]', 2, '$[7][${job}][11]', -json_extract(record, '$[1]'))`)
      }
      database.exec('UPDATE queue SET is_suspect = 1, run_at = 0')
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  }
}

test.run()
