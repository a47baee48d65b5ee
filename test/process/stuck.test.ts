/** A task that hangs in a native call, which nothing can end, does not keep the process from leaving. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Home } from '../harness/child.ts'
import { until } from '../harness/until.ts'
import { readDatabase } from './database-file.ts'
import { readExecutions } from './executions.ts'

const graces = { SHUTDOWN_GRACE_MS: '100', CANCEL_GRACE_MS: '100' }
const unspent = { state: 'queued', attempt: 0, lostStarts: 0 }
const journal = new URL('../fixtures/process-tasks/journal/journal.ts', import.meta.url).href

/** Each of them hangs for as long as the tester lives. */
const tasks: Record<string, string> = {
  'reads-pipe': `import { readFile } from 'node:fs/promises'
    export default { kind: 'io', run: (_, context) => (note(context), readFile('pipe')) }`,
  'reads-pipe-sync': `import { readFileSync } from 'node:fs'
    export default { run: (_, context) => (note(context), readFileSync('pipe', 'utf8')) }`,
  'waits-for-child': `import { execFileSync } from 'node:child_process'
    export default { run: (_, context) => (note(context), execFileSync('sleep', ['600'])) }`,
  'takes-exit': `export default { kind: 'io', run: (_, context) => {
      note(context)
      process.exit = process.reallyExit = () => {}
      return new Promise(() => {})
    } }`,
  'has-child': `import { spawn } from 'node:child_process'
    import { once } from 'node:events'
    export default { kind: 'io', run: (_, context) => (note(context), once(spawn('sleep', ['600'], { stdio: 'inherit' }), 'exit')) }`,
}

async function makeStuckHome(): Promise<Home> {
  const home = await makeHome({ ...graces, THREADS: '2' })
  const directory = join(home.directory, 'tasks')
  mkdirSync(directory)
  for (const [name, text] of Object.entries(tasks)) {
    writeFileSync(join(directory, `${name}.js`), `import { note } from '${journal}'\n${text}\n`)
  }
  execFileSync('mkfifo', [join(home.directory, 'pipe')])
  return home
}

test('a stop ends the process with 0 while tasks hang, and hands their jobs back', async () => {
  await using home = await makeStuckHome()
  const child = await home.start({ TASKS_DIR: join(home.directory, 'tasks') })
  const first = child.post('/run-tasks', { tasks: [{ name: 'reads-pipe' }] })
  const second = child.post('/run-tasks', { tasks: [{ name: 'takes-exit' }] })
  const names = ['reads-pipe', 'reads-pipe-sync', 'waits-for-child', 'has-child']
  const others = await child.post('/run-tasks', { tasks: names.map((name) => ({ name })), respond: 'none' })
  assert.is(others.status, 202)
  await until('all have begun', () => readExecutions(join(home.directory, 'executions')).length === names.length + 2)
  assert.equal(await child.kill('SIGTERM'), { code: 0, signal: null })
  assert.equal([(await first).status, (await second).status], [202, 202])
  assert.is(child.lines.at(-1)?.msg, 'stopped')
  assert.is(child.errors(), '')
  const jobs = readDatabase(home.databasePath).jobs.map(({ state, attempt, lostStarts }) => {
    return { state, attempt, lostStarts }
  })
  assert.equal(
    jobs,
    Array.from({ length: names.length + 2 }, () => unspent),
  )
})

test('a stop ends the process with 0 if it may not start another program', async () => {
  await using home = await makeHome()
  const flags = '--permission --allow-fs-read=* --allow-fs-write=* --allow-worker'
  const child = await home.start({}, ['sh', '-c', `node=$1; shift; exec "$node" ${flags} "$@"`, 'sh'])
  assert.equal(await child.kill('SIGTERM'), { code: 0, signal: null })
  assert.is(child.lines.at(-1)?.msg, 'stopped')
})

test('a second Ctrl-C ends the process at once', async () => {
  await using home = await makeHome({ SHUTDOWN_GRACE_MS: '600000' })
  const child = await home.start()
  const asked = child.post('/run-tasks', { tasks: [{ name: 'gate', input: { gate: 'gate' } }], respond: 'none' })
  assert.is((await asked).status, 202)
  child.signal('SIGINT')
  await child.logged('stopping')
  let hasEnded = false
  const ended = child.ended().finally(() => (hasEnded = true))
  // The same press can arrive more than once, so one that comes too soon is not the second.
  await until('a later Ctrl-C has ended it', () => {
    child.signal('SIGINT')
    return hasEnded
  })
  assert.equal(await ended, { code: null, signal: 'SIGINT' })
})

test.run()
