/** What keeps the service from starting is said in one line, with exit code 1 and without harm to what is stored. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, root, type Environment, type Home } from '../harness/child.ts'
import { readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'
import { readDatabase } from './database-file.ts'
import { gateJob, openGate } from './gate.ts'
import { endsWithRefusal } from './refusal.ts'

const clean = { code: 0, signal: null }
const good = 'export default { run: () => null }\n'

test('an unusable setting, tasks directory, module or database is refused by name', async () => {
  await using home = await makeHome()
  const leaver = join(home.directory, 'exits')
  mkdirSync(leaver)
  // Even as a success: nothing would say why nothing runs.
  writeFileSync(join(leaver, 'leaver.js'), 'process.exit(0)')
  const missing = join(home.directory, 'missing')
  const file = join(home.directory, 'text')
  writeFileSync(file, 'this is not a database, and long enough that SQLite looks at it twice '.repeat(20))
  await Promise.all([
    checkRefused(home, { THREADS: '0', LOG_LEVEL: 'loud' }, ['THREADS', 'LOG_LEVEL']),
    checkRefused(home, { TASKS_DIR: missing }, [missing]),
    checkRefused(home, { TASKS_DIR: leaver }, ['exits/leaver.js', 'process.exit(0)']),
    checkRefused(home, { DATABASE_URL: `sqlite:${file}` }, [file]),
  ])
})

test('an older Node is refused in one line, as a program and as a library', async () => {
  await using home = await makeHome()
  const older = `
    Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.1.0' } })
    delete Promise.withResolvers`
  const preload = `--import=data:text/javascript,${encodeURIComponent(older)}`
  await checkRefused(home, { NODE_OPTIONS: preload }, ['Node 24', '22.1.0'])
  const script = `
    import { createForerunner } from 'forerunner'
    await createForerunner().start().catch(({ name, message }) => console.log(name, message))`
  const options = { cwd: root, encoding: 'utf8' } as const
  const told = execFileSync(process.execPath, [preload, '--input-type=module', '--eval', script], options)
  assert.is(told, 'BootError Forerunner needs Node 24 or later, and this is Node 22.1.0\n')
})

test('npm start bounds the young generation of each thread, lists the tasks, and writes the compile cache', async () => {
  await using home = await makeHome()
  const tasks = join(home.directory, 'tasks')
  mkdirSync(tasks)
  const young = `import { getHeapSpaceStatistics } from 'node:v8'
    const run = () => {
      const kept = []
      for (let at = 0; at < 2_000_000; at += 1) kept[at % 100_000] = { list: [at] }
      return getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_size
    }`
  writeFileSync(join(tasks, 'on-thread.js'), `${young}\nexport default { main: 'never', run }\n`)
  writeFileSync(join(tasks, 'on-main.mjs'), `${young}\nexport default { main: 'always', run }\n`)
  writeFileSync(join(tasks, '_shared.js'), good)
  const cache = join(home.directory, 'compiled')
  const child = await home.start({ TASKS_DIR: tasks, NODE_COMPILE_CACHE: cache }, 'npm')
  const line = await child.logged('loaded 2 tasks of ')
  assert.equal([line['tasks'], line['skipped']], [['on-main', 'on-thread'], ['_shared.js (begins with "_")']])
  const sizeOn = async (name: string): Promise<number> =>
    Number((await readRun(await child.post('/run-tasks', { tasks: [{ name }] }))).result)
  assert.ok((await sizeOn('on-main')) <= 48 * 1_048_576)
  assert.ok((await sizeOn('on-thread')) <= 48 * 1_048_576)
  await until('compiled code', () => existsSync(cache) && readdirSync(cache, { recursive: true }).length > 100)
  assert.equal(await child.kill('SIGTERM'), clean)
})

test('an empty directory of tasks is warned about', async () => {
  await using home = await makeHome()
  const empty = join(home.directory, 'empty')
  mkdirSync(empty)
  assert.is((await home.spawn({ TASKS_DIR: empty }).logged('there are no tasks in ')).level, 'warn')
})

test('an address in use is refused, and the stored jobs do not suffer from it', async () => {
  await using home = await makeHome({ SHUTDOWN_GRACE_MS: '0', CANCEL_GRACE_MS: '100' })
  const first = await home.start()
  await first.post('/run-tasks', { tasks: [gateJob, gateJob], respond: 'none' })
  assert.equal(await first.kill('SIGTERM'), clean)

  await using occupant = await occupyPort()
  await checkRefused(home, { HOST: 'localhost', PORT: String(occupant.port) }, [`localhost:${occupant.port}`])
  openGate(home)
  const last = await home.start()
  await until('every job is final', () => isIdle(last.url))
  assert.equal(await last.kill('SIGTERM'), clean)
  const states = readDatabase(home.databasePath).jobs.map(({ state, lostStarts }) => ({ state, lostStarts }))
  assert.equal(states, [
    { state: 'completed', lostStarts: 0 },
    { state: 'completed', lostStarts: 0 },
  ])
})

function checkRefused(home: Home, environment: Environment, names: readonly string[]): Promise<void> {
  return endsWithRefusal(home.spawn(environment), names)
}

async function occupyPort(): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer().listen(0, 'localhost')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  return { port, [Symbol.asyncDispose]: async () => void server.close() }
}

async function isIdle(url: string): Promise<boolean> {
  const stats: unknown = await (await fetch(`${url}/stats`)).json()
  return Reflect.get(Object(stats), 'backlog') === 0
}

test.run()
