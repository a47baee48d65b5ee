/** No file descriptor is left, or no thread: the process lives, says so, and goes on when there is room again. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, root, withDescriptors, withThreads, type Child } from '../harness/child.ts'
import { readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'
import { open } from '../http/raw.ts'
import { openGate } from './gate.ts'

const tasks = fileURLToPath(new URL('../fixtures/limit-tasks/', import.meta.url))

async function resultOf(child: Child, name: string): Promise<unknown> {
  const run = await readRun(await child.post('/run-tasks', { tasks: [{ name, input: 'you' }] }))
  return run.result
}

/** A new connection is reset until it is noticed that no descriptor is left for it. */
function ask(child: Child, path: string, init?: RequestInit): Promise<Response> {
  return until('the connection is kept', () => fetch(`${child.url}${path}`, init).catch(() => false as const))
}

async function greetingOf(child: Child): Promise<unknown> {
  const body = JSON.stringify({ tasks: [{ name: 'greets', input: 'you' }] })
  const headers = { 'Content-Type': 'application/json' }
  return (await readRun(await ask(child, '/run-tasks', { method: 'POST', headers, body }))).result
}

test('descriptors that tasks of both kinds have taken cost no other job anything, and are given back each time', async () => {
  await using home = await makeHome({ TASKS_DIR: tasks })
  const child = await home.start({}, withDescriptors(160))
  // The other thread has not loaded the module of the job that follows, and has no descriptor to load it with.
  for (const kind of ['cpu', 'io']) {
    assert.is(await resultOf(child, `leaks-${kind}`), 'EMFILE')
    const takenAt = performance.now()
    // It is not known to be quick, and calling it under a time limit takes descriptors.
    assert.is(await greetingOf(child), 'hello you')
    await until('it has descriptors again', async () => {
      const metrics = await (await ask(child, '/metrics')).text()
      const shown = /^forerunner_open_descriptors (\d+)$/m.exec(metrics)?.[1]
      return Number(shown) < 100
    })
    await until('it is ready again', async () => (await ask(child, '/readyz')).status === 200)
    const waitedMs = performance.now() - takenAt
    assert.ok(waitedMs < 9_000, `the shortage by ${kind} lasted ${waitedMs} ms`)
  }
  assert.is(await resultOf(child, 'greets'), 'hello you')
  assert.is((await child.kill('SIGTERM')).code, 0)
})

test('a child process and the thread of large bodies, for which no descriptor is left, fail alone', () => {
  const dist = `${pathToFileURL(root).href}dist/src`
  const program = `
    import { openSync } from 'node:fs'
    import { createLargeBodyParser } from '${dist}/http/body/large-body-parser.js'
    import { startChild } from '${dist}/execution/pool/child-process.js'
    const parser = createLargeBodyParser()
    const say = ({ code }) => console.log(code)
    try {
      for (;;) openSync('/dev/null', 'r')
    } catch {
      await parser.parse({ bytes: new TextEncoder().encode('{}'), coding: null }, 100).catch(say)
      startChild({ maxHeapMb: 64, flags: [], onMessage() {}, onMeasured() {}, onGone: say })
    }`
  const [file, ...args] = [...withDescriptors(60), process.execPath, '--input-type=module', '--eval', program]
  assert.is(execFileSync(file, args, { encoding: 'utf8' }), 'overloaded\nEMFILE\n')
})

test('connections beyond the descriptors are refused, and the service continues', async () => {
  await using home = await makeHome({ TASKS_DIR: tasks })
  const child = await home.start({}, withDescriptors(120))
  const sockets: Socket[] = []
  for (let opened = 0; opened < 200; opened += 1) {
    const socket = open(child.url).on('error', () => {})
    sockets.push(socket)
    await once(socket, 'connect')
  }
  await child.logged('too many connections')
  for (const socket of sockets) socket.destroy()
  const run = await until('there is room again', () => resultOf(child, 'greets').catch(() => false))
  assert.is(run, 'hello you')
  assert.is((await child.kill('SIGTERM')).code, 0)
})

test('a limit of descriptors that leaves none for connections ends the start', async () => {
  await using home = await makeHome({ TASKS_DIR: tasks })
  const started = home.spawn({}, withDescriptors(60))
  assert.match((await started.logged('the limit of open files')).msg, /too low by \d+$/)
  assert.is((await started.ended()).code, 1)
})

test('while stuck native calls occupy all of libuv’s threads, everything else works', async () => {
  await using home = await makeHome({ TASKS_DIR: tasks, CANCEL_GRACE_MS: '50' })
  const pipe = join(home.directory, 'pipe')
  execFileSync('mkfifo', [pipe])
  const child = await home.start()
  const reading = { name: 'reads-cpu', input: pipe, timeoutMs: 100 }
  assert.is((await child.post('/run-tasks', { tasks: [reading] })).status, 500)
  // A large one is unpacked elsewhere than a small one.
  for (const input of ['packed', 'packed'.repeat(50_000)]) {
    const body = gzipSync(JSON.stringify({ tasks: [{ name: 'greets', input }] }))
    const headers = { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }
    const run = await readRun(await fetch(`${child.url}/run-tasks`, { method: 'POST', headers, body }))
    assert.is(run.result, `hello ${input}`)
  }
  // A thread is started, and loads a module.
  for (const name of ['exits-cpu', 'greets']) {
    await child.post('/run-tasks', { tasks: [{ name }], respond: 'none' })
  }
  await child.logged('a thread is gone')
  const answered = await child.post('/run-tasks', { tasks: [{ name: 'greets' }, { name: 'greets' }], respond: 'all' })
  assert.is(answered.status, 200)
})

// Another user is needed for it, and a system that has such limits.
const testAsUser = process.getuid?.() === 0 && existsSync('/usr/bin/setpriv') ? test : test.skip

testAsUser('when no thread is left, first jobs run in the pool, and a thread that ends comes back later', async () => {
  await using home = await makeHome({ TASKS_DIR: tasks })
  chmodSync(home.directory, 0o777)
  const child = await home.start({}, withThreads(60))
  const spawning = child.post('/run-tasks', { tasks: [{ name: 'spawns-io', input: 'gate' }] })
  // A first job that holds up the main thread on a busy machine runs in the pool too, and shows nothing.
  await until('the system refuses a process', () => existsSync(join(home.directory, 'gate-full')))
  await until('a first job is not called under a time limit', async () => {
    const run = await readRun(await child.post('/run-tasks', { tasks: [{ name: 'greets' }] }))
    assert.is(run.result, 'hello undefined')
    return run.jobs[0]?.thread !== 'main'
  })
  assert.is((await child.post('/run-tasks', { tasks: [{ name: 'exits-cpu' }] })).status, 500)
  // It is parsed in a thread of its own, which there may be no room for.
  const large = { tasks: [{ name: 'greets', input: 'you'.repeat(100_000) }] }
  assert.ok([200, 503].includes((await child.post('/run-tasks', large)).status))
  openGate(home)
  assert.is((await readRun(await spawning)).result, true)
  assert.is((await child.post('/run-tasks', large)).status, 200)
  assert.is(await resultOf(child, 'greets'), 'hello you')
  assert.is((await child.post('/run-tasks', { tasks: [{ name: 'exits-cpu' }] })).status, 500)
  assert.is((await child.kill('SIGTERM')).code, 0)
})

test.run()
