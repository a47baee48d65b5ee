/** A task with `isolation: 'process'` can end its own attempt and its process, and nothing else. */
import { cp, mkdtempDisposable, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog, type Log } from '../../src/log.ts'
import { rejects } from '../harness/rejects.ts'
import { taskDirectory } from '../tasks/task-directory.ts'
import { openPool, type OpenPool } from '../harness/pool.ts'
import { until } from '../harness/until.ts'

interface Expected {
  readonly result?: unknown
  readonly code?: string
  readonly message?: RegExp
  readonly exitCode?: number
}

const timeout = { code: 'timeout' }
const tooMuch = { code: 'out_of_memory', message: /took \d+ MiB; 64 MiB are allowed/ }
const killed = (signal: string): Expected => ({ code: 'crashed', message: new RegExp(`was ended by ${signal}`) })

const table: Readonly<Record<string, Expected>> = {
  'faults in native code': killed('SIGSEGV'),
  'aborts and leaves words': killed('SIGABRT'),
  'exits with 0': { code: 'crashed', exitCode: 0 },
  'exits with 3': { code: 'crashed', exitCode: 3 },
  'exits past process.exit': { code: 'crashed', exitCode: 4 },
  'ends what it reports to': { code: 'crashed', message: /closed what it reports through/ },
  'writes what is no message': { code: 'crashed', message: /wrote to what only its own code reports through/ },
  'ends the service': { code: 'task_error', message: /process\.kill\(\) is not supported/ },
  'throws in a timer': { code: 'crashed', message: /an error that nobody caught: from a timer/ },
  'throws a custom error': { code: 'task_error', message: /^too much$/ },
  'returns 10 MB': { code: 'invalid_result' },
  'endless loop': timeout,
  'endless microtasks': timeout,
  'polls the signal': timeout,
  'heeds the signal': timeout,
  'stops itself': timeout,
  'blocks in native code': timeout,
  'hoards small objects': tooMuch,
  'hoards buffers': tooMuch,
  'floods with progress': { result: 'done' },
  'patches prototypes': { result: 'done' },
  'rejects after its end': { result: 'done' },
}

/** Keeps the error output of the children out of the output of this test. */
const hide = process.stderr.write.bind(process.stderr)

test('each misbehaviour has a truthful outcome, and a process is there for the next job', async () => {
  await using opened = await openPool({ threads: 2 })
  process.stderr.write = () => true
  try {
    const cases = Object.entries(table).map(async ([how, expected]) => {
      const timeoutMs = expected === timeout ? 300 : 10_000
      const outcome = await opened.outcomeOf({ task: 'misbehave-process', input: how, timeoutMs })
      if (outcome.ok) return assert.is(JSON.parse(outcome.result), expected.result, how)
      const { code, message, exitCode } = outcome.error
      assert.is(code, expected.code, how)
      if (expected.message !== undefined) assert.match(message, expected.message, how)
      assert.is(exitCode, expected.exitCode, how)
      if (how === 'aborts and leaves words') assert.match(outcome.error.stack ?? '', 'the last words')
    })
    await Promise.all(cases)
  } finally {
    process.stderr.write = hide
  }
  await opened.whole()
  await until('a process is free for each thread', () => opened.pool.freeProcesses() === 2)
})

async function processOf(opened: OpenPool): Promise<number> {
  const outcome = await opened.outcomeOf({ task: 'misbehave-process', input: 'tells its process' })
  return outcome.ok ? Number(outcome.result) : Number.NaN
}

test('a process starts with its first job and stays; while it works, its thread takes no job', async () => {
  await using opened = await openPool()
  const names = (): string[] => opened.pool.threads().map(({ name }) => name)
  assert.equal(names(), ['worker-1', 'worker-2'])
  const pid = await processOf(opened)
  assert.is.not(pid, process.pid)
  assert.is(await processOf(opened), pid)
  assert.equal(names(), ['worker-1', 'worker-2', 'process-1'])
  const running = await opened.start({ task: 'misbehave-process', input: 'heeds the signal', timeoutMs: 60_000 })
  const kinds = (): string[] => opened.pool.freeSlots().map(({ kind }) => kind)
  assert.equal(kinds(), ['io'])
  assert.is(opened.pool.freeProcesses(), 0)
  running.cancel()
  await running.outcome
  await until('its thread takes jobs again', () => kinds().includes('cpu'))
})

test('code of an ended job that ends the process costs the next job no attempt', async () => {
  await using opened = await openPool()
  await opened.outcomeOf({ task: 'misbehave-process', input: 'leaves an exit behind' })
  const next = await opened.start({ task: 'misbehave-process', input: 'heeds the signal' })
  assert.is(await next.outcome, 'released')
  await opened.whole()
})

test('progress is visible while the job keeps its thread busy', async () => {
  await using opened = await openPool()
  const attempt = await opened.start({ task: 'tells-process' })
  await until('it has told the second', () => attempt.progress()?.message === 'halfway ✓')
  assert.equal(attempt.progress(), { fraction: 0.5, message: 'halfway ✓' })
  attempt.cancel()
  await attempt.outcome
})

test('a module that cannot be loaded in a process is named', async () => {
  await using directory = await taskDirectory({
    'elsewhere.mjs': `if (process.argv[1].endsWith('entry.js')) throw new Error('not here')
      export default { isolation: 'process', run: () => null }`,
  })
  await using opened = await openPool({ tasksDir: directory.path })
  const { message } = await rejects(opened.load('elsewhere'), 'BootError')
  assert.match(message, /elsewhere\.mjs: a child process cannot load it: .*not here/)
})

test('jobs of a process that cannot be started are handed back, and the start is tried again until it succeeds', async () => {
  const dist = fileURLToPath(new URL('../../dist/', import.meta.url))
  await using home = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  await cp(join(dist, 'src'), join(home.path, 'dist/src'), { recursive: true })
  await writeFile(join(home.path, 'package.json'), '{ "type": "module" }')
  await symlink(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(home.path, 'node_modules'))
  const entry = join(home.path, 'dist/src/execution/pool/process-entry.js')
  const code = await readFile(entry, 'utf8')
  await writeFile(entry, 'process.exit(9)')
  let failures = 0
  const log: Log = Object.assign(createLog('silent'), { warn: () => void (failures += 1) })
  await using opened = await openPool({ distDir: join(home.path, 'dist') }, log)
  const attempt = await opened.start({ task: 'misbehave-process', input: 'tells its process' })
  assert.is(await attempt.outcome, 'released')
  assert.is(failures, 1)
  assert.is(opened.pool.freeProcesses(), 0)
  await until('its thread takes other jobs', () => opened.pool.freeSlots().length === 2)
  await writeFile(entry, code)
  await until('there is a process', () => opened.pool.freeProcesses() === 1)
  assert.type(await processOf(opened), 'number')
})

test.run()
