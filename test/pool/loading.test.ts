/** Modules that misbehave while a thread loads them, and threads whose own code cannot be loaded. */
import { existsSync } from 'node:fs'
import { cp, mkdtempDisposable, readFile, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLog, type Log } from '../../src/log.ts'
import { openPool } from '../harness/pool.ts'
import { until } from '../harness/until.ts'
import { taskDirectory } from '../tasks/task-directory.ts'

/** The module misbehaves on a worker thread only; on the main thread it loads, so that the service starts. */
const ways = {
  throws: "throw new Error('not here')",
  never: 'await new Promise(() => {})',
  loops: 'for (;;);',
  exits: 'process.exit(3)',
  rejects: "void Promise.reject(new Error('nobody listens')); await new Promise(() => {})",
} as const

const expected: Record<keyof typeof ways, { code: string; message: RegExp; exitCode?: number }> = {
  throws: { code: 'task_error', message: /not here \(.*:\d+:\d+\)$/m },
  never: { code: 'timeout', message: /^the module did not load within 500 ms$/ },
  loops: { code: 'timeout', message: /^the module did not load within 500 ms$/ },
  exits: { code: 'crashed', message: /exited with code 3$/, exitCode: 3 },
  rejects: { code: 'crashed', message: /nobody listens$/ },
}

const good = (kind: string) => `
  import { setTimeout as sleep } from 'node:timers/promises'
  export default { kind: '${kind}', run: (ms) => sleep(ms, 'good') }`

const bad = (kind: string, way: string) => `
  import { isMainThread } from 'node:worker_threads'
  if (!isMainThread) { ${way} }
  export default { kind: '${kind}', run: () => 'never' }`

test('a module that misbehaves while it is loaded fails its own job only', async () => {
  await Promise.all([checkOn('cpu'), checkOn('io')])
})

async function checkOn(kind: 'cpu' | 'io'): Promise<void> {
  const modules = Object.entries(ways).map(([name, way]) => [`${name}.mjs`, bad(kind, way)] as const)
  await using directory = await taskDirectory({ 'good.mjs': good(kind), ...Object.fromEntries(modules) })
  await using opened = await openPool({ loadLimitMs: 500, tasksDir: directory.path })
  for (const [name, { code, message, exitCode }] of Object.entries(expected)) {
    const what = `${name} (${kind})`
    // On a shared thread it is there all the while.
    const neighbour = kind === 'io' ? await opened.start({ task: 'good', input: 100 }) : null
    const outcome = await opened.outcomeOf({ task: name, timeoutMs: 60_000 })
    assert.not.ok(outcome.ok, what)
    const error = outcome.ok ? undefined : outcome.error
    assert.is(error?.code, code, what)
    // The log has the place, and callers do not.
    assert.match((name === 'throws' ? error?.stack : error?.message) ?? '', message)
    assert.is(error?.exitCode, exitCode, what)
    const ended = await neighbour?.outcome
    assert.ok(ended === undefined || ended === 'released' || ended.ok, what)
    await opened.whole()
    assert.equal(await opened.outcomeOf({ task: 'good', input: 1 }), { ok: true, result: '"good"' })
  }
}

test('a module that never finishes loading is named in the log, and its thread is replaced', async () => {
  await using directory = await taskDirectory({ 'loops.mjs': bad('cpu', ways.loops), 'good.mjs': good('cpu') })
  const lines: unknown[] = []
  const log: Log = Object.assign(createLog('silent'), { warn: (_: unknown, text: unknown) => void lines.push(text) })
  await using opened = await openPool({ loadLimitMs: 300, tasksDir: directory.path }, log)
  void opened.load('loops')
  const path = join(directory.path, 'loops.mjs')
  await until('it is logged', () => lines.includes(`${path}: a worker thread has not loaded it within 300 ms`))
  await until('jobs run again', async () => {
    const outcome = await (await opened.start({ task: 'good', input: 1 })).outcome
    return outcome !== 'released' && outcome.ok
  })
})

test('a job that is cancelled while its module is loaded does not begin afterwards', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  const head = `
    import { existsSync, writeFileSync } from 'node:fs'
    import { setTimeout as sleep } from 'node:timers/promises'
    import { isMainThread } from 'node:worker_threads'
    const at = (name) => ${JSON.stringify(place.path)} + '/' + name
    const appears = async (name) => { while (!existsSync(at(name))) await sleep(2) }`
  const slow = `${head}
    if (!isMainThread) {
      writeFileSync(at('loading'), '')
      await appears('go on')
      writeFileSync(at('loaded'), '')
    }
    export default { kind: 'io', run: () => writeFileSync(at('begun'), '') }`
  const watcher = `${head}
    export default { kind: 'io', run: async () => { await appears('loaded'); await sleep(2); return existsSync(at('begun')) } }`
  await using directory = await taskDirectory({ 'slow.mjs': slow, 'watcher.mjs': watcher })
  await using opened = await openPool({ tasksDir: directory.path })
  const watching = await opened.start({ task: 'watcher' })
  const loading = await opened.start({ task: 'slow' })
  await until('it is being loaded', () => existsSync(join(place.path, 'loading')))
  loading.cancel()
  const outcome = await loading.outcome
  assert.is(outcome !== 'released' && !outcome.ok && outcome.error.code, 'cancelled')
  await writeFile(join(place.path, 'go on'), '')
  assert.equal(await watching.outcome, { ok: true, result: 'false' })
})

test('a thread whose own code cannot be loaded starts as soon as it can be', async () => {
  const dist = fileURLToPath(new URL('../../dist/', import.meta.url))
  await using home = await mkdtempDisposable(join(tmpdir(), 'forerunner-'))
  await cp(dist, join(home.path, 'dist'), { recursive: true })
  await writeFile(join(home.path, 'package.json'), '{ "type": "module" }')
  await symlink(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(home.path, 'node_modules'))
  const entry = join(home.path, 'dist/src/execution/pool/worker-entry.js')
  const code = await readFile(entry, 'utf8')
  let failures = 0
  const note = (fields: unknown): void => {
    if (String(Reflect.get(Object(fields), 'err')).includes('not this time')) failures += 1
  }
  const log: Log = Object.assign(createLog('silent'), { warn: note })
  await using opened = await openPool({ distDir: join(home.path, 'dist') }, log)
  await writeFile(entry, "throw new Error('not this time')")
  const outcome = await opened.outcomeOf({ task: 'exits' })
  assert.is(!outcome.ok && outcome.error.code, 'crashed')
  await until('no new thread could be loaded', () => failures > 0)
  await writeFile(entry, code)
  await opened.whole()
  assert.equal(await opened.outcomeOf({ task: 'good-cpu', input: 'back' }), { ok: true, result: '"back"' })
})

test.run()
