/** As a library Forerunner never ends its host, and leaves to the host what is the host's own. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { jobAt } from '../harness/run.ts'
import { create } from './instance.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const mainTasks = fileURLToPath(new URL('../fixtures/main-tasks/', import.meta.url))

interface Ended {
  readonly code: number | null
  readonly output: string
  readonly errors: string
}

/** A host of its own: it starts Forerunner, runs `code`, and stops it. */
async function host(code: string, before = ''): Promise<Ended> {
  const script = `
    import { createForerunner } from 'forerunner'
    ${before}
    const options = { databaseUrl: 'sqlite::memory:', logLevel: 'silent', mainBudgetMs: 5000, cancelGraceMs: 100 }
    const forerunner = createForerunner({ ...options, tasksDir: ${JSON.stringify(mainTasks)} })
    await forerunner.start()
    const run = (name, input) => forerunner.run({ tasks: [{ name, input }] })
    const fails = async (name, input) => {
      const { problem } = await run(name, input).catch((error) => error)
      console.log(problem.error.code, problem.error.message)
    }
    ${code}
    await forerunner.stop()
    console.log('stopped')`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  })
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const [output, errors, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exit])
  return { code: exitCode, output, errors }
}

test('a first job that exits, or causes an unhandled error, does not end its host', async () => {
  const ways = ['exit', 'exit later', 'reject', 'throw in a timer']
  const { code, output, errors } = await host(`
    for (const way of ${JSON.stringify(ways)}) await fails('runaway', way)
    console.log((await run('echo', 'alive')).result)`)
  assert.is(errors, '')
  assert.equal(output.trim().split('\n'), [
    'crashed called process.exit(4) on the main thread',
    'crashed called process.exit(4) on the main thread',
    'crashed an error that nobody caught: nobody listens',
    'crashed an error that nobody caught: from a timer',
    'alive',
    'stopped',
  ])
  assert.is(code, 0)
})

test('leftovers of first jobs do not end the host, even after the stop', async () => {
  const { code, output, errors } = await host(
    `console.log((await run('runaway', 'exit after the end')).result)
    void forerunner.stop().then(() => setTimeout(() => console.log('still here'), 200))`,
  )
  assert.is(errors, '')
  assert.match(output, 'still here')
  assert.is(code, 0)
})

test('the host ends by its own errors and exits as it would without Forerunner', async () => {
  const rejected = await host(`void Promise.reject(new Error("the host's own"))
    await new Promise((resolve) => setTimeout(resolve, 5_000))`)
  assert.is(rejected.code, 1)
  assert.match(rejected.errors, "Error: the host's own")
  assert.is((await host('process.exit(5)')).code, 5)
  assert.is((await host("await run('reaches-out', { way: 'trace' })\nprocess.exitCode = 6")).code, 6)
})

test('handlers of the host hear its own errors, and none of a first job', async () => {
  const handlers = `
    process.on('unhandledRejection', (error) => console.log('host:', error.message))
    process.on('uncaughtException', (error) => console.log('host:', error.message))
    process.on('SIGTERM', () => console.log('host: SIGTERM'))`
  const own = `
    await fails('runaway', 'reject')
    await fails('runaway', 'throw in a timer')
    await fails('reaches-out', { way: 'emit a signal' })
    void Promise.reject(new Error('own rejection'))
    setTimeout(() => { throw new Error('own error') })
    await new Promise((resolve) => setTimeout(resolve, 10))`
  const { code, output, errors } = await host(own, handlers)
  assert.is(errors, '')
  const heard = output.split('\n').filter((line) => line.startsWith('host:'))
  assert.equal(heard, ['host: own rejection', 'host: own error'])
  assert.is(code, 0)
})

test("firstJobs: 'pool' keeps first jobs off the main thread, and wrong values are refused", async () => {
  await using instance = create({ firstJobs: 'pool', tasksDir: mainTasks })
  await instance.forerunner.start()
  for (const name of ['echo', 'always-main']) {
    const run = await instance.forerunner.run({ tasks: [{ name, input: 'quick' }] })
    assert.match(jobAt(run, 0).thread ?? '', /^worker-/)
  }
})

test.run()
