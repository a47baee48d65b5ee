/** What keeps the service from starting is said in one line, with exit code 1 and without harm to what is stored. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
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

test('a wrong setting is refused by its name', async () => {
  await using home = await makeHome()
  await checkRefused(home, { PORT: 'none' }, ['PORT'])
  await checkRefused(home, { DATABASE_URL: 'mysql://localhost/jobs' }, ['DATABASE_URL'])
  await checkRefused(home, { THREADS: '0', LOG_LEVEL: 'loud' }, ['THREADS', 'LOG_LEVEL'])
  await checkRefused(home, { HOST: '0.0.0.0' }, ['HOST', 'API_KEYS'])
})

test('a directory of tasks that cannot be used is refused by its path', async () => {
  await using home = await makeHome()
  const missing = join(home.directory, 'missing')
  await checkRefused(home, { TASKS_DIR: missing }, [missing])
  const tasks = (name: string, files: Record<string, string>): string => {
    const directory = join(home.directory, name)
    mkdirSync(directory)
    for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text)
    return directory
  }
  await checkRefused(home, { TASKS_DIR: tasks('syntax', { 'good.js': good, 'broken.js': 'export default {' }) }, [
    'syntax/broken.js',
  ])
  await checkRefused(home, { TASKS_DIR: tasks('throws', { 'thrower.js': 'throw new Error("no licence")' }) }, [
    'throws/thrower.js',
    'no licence',
  ])
  // Even as a success: nothing would say why nothing runs.
  await checkRefused(home, { TASKS_DIR: tasks('exits', { 'leaver.js': 'process.exit(0)' }) }, [
    'exits/leaver.js',
    'process.exit(0)',
  ])
  await checkRefused(home, { TASKS_DIR: tasks('kind', { 'odd.js': 'export default { kind: "gpu", run() {} }' }) }, [
    'kind/odd.js',
    'kind',
  ])
  await checkRefused(home, { TASKS_DIR: tasks('twice', { 'a.ts': good, 'a.js': good }) }, ['twice/a.js', 'twice/a.ts'])
})

test('the tasks are listed with what is none, and an empty directory is said to be', async () => {
  await using home = await makeHome()
  const directory = join(home.directory, 'listed')
  mkdirSync(directory)
  const start = async (message: string) => {
    const service = await home.start({ TASKS_DIR: directory })
    const line = await service.logged(message)
    await service.kill('SIGTERM')
    return line
  }
  assert.is((await start('there are no tasks in ')).level, 'warn')
  for (const file of ['b.js', 'a.mjs', '_c.js']) writeFileSync(join(directory, file), good)
  const line = await start('loaded 2 tasks of ')
  assert.equal([line['tasks'], line['skipped']], [['a', 'b'], ['_c.js (begins with "_")']])
})

test('a database that cannot be used is refused by its path', async () => {
  await using home = await makeHome()
  const file = join(home.directory, 'text')
  writeFileSync(file, 'this is not a database, and long enough that SQLite looks at it twice '.repeat(20))
  await checkRefused(home, { DATABASE_URL: `sqlite:${file}` }, [file])
  await checkRefused(home, { DATABASE_URL: `sqlite:${file}/below.db` }, [`${file}/below.db`])
  const newer = join(home.directory, 'newer.db')
  new DatabaseSync(newer).exec('PRAGMA user_version = 99')
  await checkRefused(home, { DATABASE_URL: `sqlite:${newer}` }, [newer, '99'])
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

test('npm start bounds the young generation of each thread', async () => {
  await using home = await makeHome()
  const tasks = join(home.directory, 'tasks')
  mkdirSync(tasks)
  const young = `import { getHeapSpaceStatistics } from 'node:v8'
    const run = () => {
      const kept = []
      for (let at = 0; at < 2_000_000; at += 1) kept[at % 100_000] = { list: [at] }
      return getHeapSpaceStatistics().find((space) => space.space_name === 'new_space').space_size
    }`
  writeFileSync(join(tasks, 'on-main.js'), `${young}\nexport default { main: 'always', run }\n`)
  writeFileSync(join(tasks, 'on-thread.js'), `${young}\nexport default { main: 'never', run }\n`)
  const child = await home.start({ TASKS_DIR: tasks }, 'npm')
  const sizeOn = async (name: string): Promise<number> =>
    Number((await readRun(await child.post('/run-tasks', { tasks: [{ name }] }))).result)
  assert.ok((await sizeOn('on-main')) <= 48 * 1_048_576)
  assert.ok((await sizeOn('on-thread')) <= 48 * 1_048_576)
})

test('a start keeps what V8 has compiled for the next one', async () => {
  await using home = await makeHome()
  const cache = join(home.directory, 'compiled')
  const child = await home.start({ NODE_COMPILE_CACHE: cache }, 'npm')
  await until('compiled code', () => existsSync(cache) && readdirSync(cache, { recursive: true }).length > 100)
  assert.equal(await child.kill('SIGTERM'), clean)
})

test('an address in use is refused, and the stored jobs do not suffer from it', async () => {
  await using home = await makeHome({ SHUTDOWN_GRACE_MS: '0', CANCEL_GRACE_MS: '100' })
  const first = await home.start()
  await first.post('/run-tasks', { tasks: [gateJob, gateJob], respond: 'none' })
  assert.equal(await first.kill('SIGTERM'), clean)

  await using occupant = await occupyPort()
  for (let boot = 0; boot < 3; boot += 1) {
    await checkRefused(home, { HOST: 'localhost', PORT: String(occupant.port) }, [`localhost:${occupant.port}`])
  }
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
