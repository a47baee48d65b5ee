/** A task finds the same on the main thread, on one of the pool and in a process of its own, and dies with the service. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Child } from '../harness/child.ts'
import { jobAt, readRun, readStats } from '../harness/run.ts'
import { until } from '../harness/until.ts'

const places = { main: "main: 'always'", 'worker-1': "main: 'never'", 'process-1': "isolation: 'process'" }

const run = `async run(input, context) {
  const { attempt, jobIndex, runId, signal, log, progress, after, step } = context
  const kept = await step('once', () => attempt)
  log.info('begun', { attempt })
  progress(0.5, 'half')
  if (input === 'wait') {
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    throw signal.reason
  }
  if (attempt === 1) throw Object.assign(new TypeError('the first fails'), { code: 'E_FIRST' })
  return { input, attempt, jobIndex, isUuid: runId.length === 36, isAborted: signal.aborted, after, kept }
}`

const loops = `import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
export default { isolation: 'process', run() {
  const { pid } = spawn('sleep', ['600'])
  writeFileSync('pids', process.pid + ' ' + pid)
  for (;;);
} }`

async function settled(child: Child, body: object): Promise<ReturnType<typeof readRun>> {
  const { id } = await readRun(await child.post('/run-tasks', body))
  return until('the run is final', async () => {
    const found = await readRun(await child.get(`/runs/${id}`))
    return found.state !== 'running' && found
  })
}

test('the context is the same in all three places, and a kill of the service ends its processes', async () => {
  await using home = await makeHome({ THREADS: '1', LOG_LEVEL: 'info', SHUTDOWN_GRACE_MS: '100' })
  const directory = join(home.directory, 'tasks')
  mkdirSync(directory)
  for (const [place, policy] of Object.entries(places)) {
    writeFileSync(join(directory, `${place}.js`), `export default { ${policy}, maxAttempts: 2, ${run} }`)
  }
  writeFileSync(join(directory, 'loops.js'), loops)
  const child = await home.start({ TASKS_DIR: directory })

  const seen = []
  for (const place of Object.keys(places)) {
    const final = await settled(child, { tasks: [{ name: place, input: { a: [1] }, maxAttempts: 2 }] })
    const { thread, attempt, result, failures } = jobAt(final, 0)
    // A first job is tried again in the pool.
    assert.is(thread, place === 'main' ? 'worker-1' : place)
    const [failure] = failures ?? []
    const lines = child.lines.filter(({ runId, msg }) => runId === final.id && msg === 'begun')
    const logged = lines.map(({ level, jobIndex, attempt: of, fields }) => ({ level, jobIndex, of, fields }))
    seen.push({ attempt, result, error: failure?.error, logged })
    const stopped = await readRun(
      await child.post('/run-tasks', { tasks: [{ name: place, input: 'wait' }], respond: 'none' }),
    )
    await until('it has progress', async () => {
      const job = jobAt(await readRun(await child.get(`/runs/${stopped.id}`)), 0)
      return job.progress === 0.5
    })
    assert.is((await child.post(`/runs/${stopped.id}/cancel`)).status, 202)
  }
  const [first] = seen
  assert.equal(first?.result, {
    input: { a: [1] },
    attempt: 2,
    jobIndex: 0,
    isUuid: true,
    isAborted: false,
    after: [],
    kept: 1,
  })
  assert.equal(
    first?.logged.map(({ fields }) => fields),
    [{ attempt: 1 }, { attempt: 2 }],
  )
  for (const other of seen) assert.equal(other, first)
  const { threads } = await readStats(child)
  assert.equal(
    threads.map(({ name }) => name),
    ['worker-1', 'worker-2', 'process-1'],
  )

  await child.post('/run-tasks', { tasks: [{ name: 'loops' }], respond: 'none' })
  const pids = join(home.directory, 'pids')
  await until('it loops', () => existsSync(pids) && readFileSync(pids, 'utf8').includes(' '))
  await child.kill('SIGKILL')
  for (const pid of readFileSync(pids, 'utf8').split(' ')) {
    await until('it is gone', () => isGone(pid))
  }
})

/** Whether there is no such process, or nothing left of it but its number. */
function isGone(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return true
  }
}

test.run()
