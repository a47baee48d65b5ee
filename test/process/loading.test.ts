/** Threads load what the main thread loads, or the start ends. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Command, type Home } from '../harness/child.ts'
import { readRun } from '../harness/run.ts'

test('a module that blocks the main thread while it loads stops start-up by name', async () => {
  await using home = await makeHome({ MAIN_STALL_MS: '300' })
  const waits = "import { execFileSync } from 'node:child_process'; execFileSync('sleep', ['60'])"
  for (const bad of ['for (;;) {}', waits]) {
    const TASKS_DIR = writeTasks(home, { 'bad.mjs': bad, 'good.mjs': 'export default { run() {} }' })
    const started = home.spawn({ TASKS_DIR })
    const line = await started.logged('the main thread has not turned')
    assert.is(line.level, 'fatal')
    assert.ok(line.msg.endsWith(`while it ran the module ${join(TASKS_DIR, 'bad.mjs')}`))
    assert.is((await started.ended()).signal, 'SIGKILL')
  }
})

/** Puts flags of Node behind the command's first word, which is node. */
function withFlags(...flags: readonly string[]): Command {
  return ['sh', '-c', `node=$1; shift; exec "$node" ${flags.join(' ')} "$@"`, 'sh']
}

function writeTasks(home: Home, files: Readonly<Record<string, string>>): string {
  const directory = join(home.directory, 'tasks')
  for (const [file, text] of Object.entries(files)) {
    const path = join(directory, file)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
  return directory
}

const usesTypeScript = `
  import { slug } from './lib/slug.js'
  enum Size { Small = 1, Large }
  export default { run: (text: string) => slug(text) + Size.Large }`
const throws = `
  const fail = (): never => {
    throw new Error('on purpose')
  }
  export default { run: fail }`

test('threads use the loader of the command line, with source maps', async () => {
  await using home = await makeHome({ LOG_LEVEL: 'debug' })
  const slug = 'export const slug = (text: string): string => text.toLowerCase()'
  const TASKS_DIR = writeTasks(home, { 'names.ts': usesTypeScript, 'lib/slug.ts': slug, 'throws.ts': throws })
  const command = withFlags('--import', import.meta.resolve('tsx'), '--enable-source-maps', '--max-semi-space-size=8')
  const child = await home.start({ TASKS_DIR }, command)
  const tasks = [{ name: 'names', input: 'A' }]
  const run = await readRun(await child.post('/run-tasks', { tasks: [...tasks, ...tasks], respond: 'all' }))
  assert.equal(run.results, ['a2', 'a2'])
  assert.equal(
    run.jobs.map(({ thread }) => thread),
    ['main', 'worker-1'],
  )
  await child.post('/run-tasks', { tasks: [...tasks, { name: 'throws', maxAttempts: 1 }], respond: 'all' })
  const line = await child.logged('job failed')
  assert.match(String(Reflect.get(Object(line['error']), 'stack')), /throws\.ts:3:11/)
})

const loadsOnMain = (code: string): string => `
  import { isMainThread } from 'node:worker_threads'
  if (!isMainThread) ${code}
  export default { kind: 'io', run() {} }`

test('a module that only the main thread can load ends the start by its name', async () => {
  await using home = await makeHome()
  const bad = loadsOnMain("throw new Error('not here')")
  const TASKS_DIR = writeTasks(home, { 'bad.mjs': bad, 'good.mjs': loadsOnMain('{}') })
  const started = home.spawn({ TASKS_DIR })
  const line = await started.logged(join(TASKS_DIR, 'bad.mjs'))
  assert.is(line.level, 'fatal')
  assert.match(line.msg, /: a worker thread cannot load it: .*not here/)
  assert.is((await started.ended()).code, 1)
})

test('a module that ends each thread which loads it is logged by its name', async () => {
  await using home = await makeHome()
  const TASKS_DIR = writeTasks(home, { 'bad.mjs': loadsOnMain('process.exit(3)'), 'good.mjs': loadsOnMain('{}') })
  const child = await home.start({ TASKS_DIR })
  const line = await child.logged(join(TASKS_DIR, 'bad.mjs'))
  assert.is(line.level, 'warn')
  const run = await readRun(
    await child.post('/run-tasks', { tasks: [{ name: 'good' }, { name: 'good' }], respond: 'all' }),
  )
  assert.is(run.state, 'completed')
})

test.run()
