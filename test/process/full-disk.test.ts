/**
 * What callers are told while the disk is full: never an answer that is not on it, and always the run that is. A limit
 * on the size of files stands for the full disk.
 */
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Child, type Home } from '../harness/child.ts'
import { listRuns, readProblem, readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'
import { readExecutions } from './executions.ts'
import { gateJob, openGate } from './gate.ts'

const canLimit = spawnSync('prlimit', ['--version']).status === 0
if (!canLimit) console.log('skipped: there is no prlimit to limit the size of files with')
const limitedTest = canLimit ? test : test.skip

function limitFileSize({ pid }: Child, bytes: number | 'unlimited'): void {
  // Only the soft limit, so that it can be lifted again.
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${bytes}:`])
  assert.is(status, 0, String(stderr))
}

function fillDisk(child: Child, { databasePath }: Home): void {
  limitFileSize(child, Math.max(statSync(databasePath).size, statSync(`${databasePath}-wal`).size))
}

/** The run that was accepted last, when there are so many. */
async function running(child: Child, count = 1): Promise<string> {
  const { id } = await until('the run is accepted', async () => {
    const runs = await listRuns(child)
    return runs.length === count && runs[0]
  })
  return id
}

async function expectUnavailable(response: Response, runId?: string): Promise<void> {
  const problem = await readProblem(response)
  assert.equal([response.status, problem.type], [503, '/problems/store-unavailable'])
  assert.is(problem.runId, runId)
  assert.ok(response.headers.has('Retry-After'))
  assert.is(response.headers.get('Link'), runId === undefined ? null : `</runs/${runId}>; rel="monitor"`)
}

limitedTest(
  'while nothing can be written, callers are told so and which run is theirs, and it goes on by itself',
  async () => {
    await using home = await makeHome()
    const child = await home.start()
    assert.is((await child.get('/readyz')).status, 200)

    // A wait that ends while its early reply cannot be noted.
    const early = child.post('/run-tasks', { tasks: [gateJob] }, { 'Idempotency-Key': 'k', Prefer: 'wait=1' })
    const earlyId = await running(child)
    fillDisk(child, home)
    await expectUnavailable(await early, earlyId)
    limitFileSize(child, 'unlimited')
    await until('it is ready', async () => (await child.get('/readyz')).status === 200)

    // An answer that cannot be committed is not given.
    const asked = child.post('/run-tasks', { tasks: [gateJob] })
    const id = await running(child, 2)
    fillDisk(child, home)
    openGate(home)
    await expectUnavailable(await asked, id)
    assert.is((await readRun(await child.get(`/runs/${id}`))).answer, null)
    await expectUnavailable(await child.post('/run-tasks', { tasks: [gateJob] }))
    limitFileSize(child, 'unlimited')
    const run = await until('the run has ended', async () => {
      const now = await readRun(await child.get(`/runs/${id}`))
      return now.state === 'completed' && now
    })
    assert.is(run.result, 'gate is open')

    // The service finds out before any caller does.
    fillDisk(child, home)
    await until('it is not ready', async () => (await child.get('/readyz')).status === 503)
    await expectUnavailable(await child.post('/run-tasks', { tasks: [gateJob] }))
    await expectUnavailable(await child.get('/readyz'))
    assert.is((await child.get('/livez')).status, 200)
    limitFileSize(child, 'unlimited')
    assert.is((await child.get('/readyz')).status, 200)
    assert.is((await child.post('/run-tasks', { tasks: [gateJob] })).status, 200)
  },
)

limitedTest('a stop that cannot hand back its jobs says so, and the next start runs them', async () => {
  await using home = await makeHome({ SHUTDOWN_GRACE_MS: '0', CANCEL_GRACE_MS: '50' })
  const child = await home.start()
  assert.is((await child.post('/run-tasks', { tasks: [gateJob], respond: 'none' })).status, 202)
  await until('the job runs', () => readExecutions(join(home.directory, 'executions')).length === 1)
  fillDisk(child, home)
  assert.equal(await child.kill('SIGTERM'), { code: 1, signal: null })
  assert.ok(child.lines.some(({ msg }) => msg.startsWith('an outcome was not committed before the service stopped')))
  assert.is(child.lines.at(-1)?.msg, 'stopped')
  openGate(home)
  const next = await home.start()
  const id = await running(next)
  await until('it has run', async () => (await readRun(await next.get(`/runs/${id}`))).state === 'completed')
})

test.run()
