/** A job that kills the whole process is found out after a few starts; those that ran beside it are not blamed. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Child, type Home } from '../harness/child.ts'
import { jobAt, readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'
import type { RunView } from '../../src/http/views/run.ts'
import { readDatabase } from './database-file.ts'
import { countExecutions, readExecutions } from './executions.ts'
import { gateJob, openGate } from './gate.ts'

const killed = { code: null, signal: 'SIGKILL' }

test('a job that kills the process, first on the main thread, fails as crashed after three starts; others complete', async () => {
  await using home = await makeHome({ THREADS: '2' })
  const first = await home.start()
  const poison = { name: 'poison', input: { companions: 2 }, maxAttempts: 1 }
  const id = await postUntilKilled(home, first, { tasks: [poison, gateJob, gateJob] })
  assert.equal(await home.spawn().ended(), killed)
  // Both innocent jobs ran beside the poison twice; from now on they can end.
  openGate(home)
  const third = home.spawn()
  assert.equal(await third.ended(), killed)

  const last = await home.start()
  const run = await final(last, id)
  assert.equal(statesOf(run), ['failed', 'completed', 'completed'])
  assert.is(codeOf(run, 0), 'crashed')
  assert.equal(run.answer, { mode: 'first', jobIndex: 0 })
  assert.equal([jobAt(run, 1).attempt, jobAt(run, 2).attempt], [1, 1])
  const starts = readExecutions(executionsOf(home)).filter(({ jobIndex }) => jobIndex === 0)
  assert.equal(
    starts.map(({ thread }) => thread),
    ['main', 'worker', 'worker'],
  )

  // It runs on, and the poison is left alone by this start and the next.
  const next = await last.post('/run-tasks', {
    tasks: [{ name: 'mark-io', input: { ms: 0, failures: 0 } }],
    respond: 'all',
  })
  assert.is(next.status, 200)
  assert.equal(await last.kill('SIGTERM'), { code: 0, signal: null })
  const again = await home.start()
  assert.equal(await final(again, id), run)
  assert.is(countExecutions(executionsOf(home)).get(`${id}/0`), 3)
})

test('a suspect runs alone also when the one before it has taken the only thread along', async () => {
  await using home = await makeHome({ THREADS: '2', IO_CONCURRENCY: '1' })
  const first = await home.start()
  // Waits behind the job at the gate, and would be found beside the poison in the third start.
  const waiting = { name: 'mark-io', input: { ms: 2_000, failures: 0, value: 1 } }
  const poison = { name: 'poison', input: { companions: 2 } }
  const tasks = [{ name: 'leave' }, poison, { ...gateJob, priority: 9 }, waiting]
  const id = await postUntilKilled(home, first, { tasks, respond: 'none' })
  assert.equal(await home.spawn().ended(), killed)
  openGate(home)
  assert.equal(await home.spawn({ THREADS: '1' }).ended(), killed)

  const last = await home.start({ THREADS: '1' })
  const run = await final(last, id)
  assert.equal(statesOf(run), ['failed', 'failed', 'completed', 'completed'])
  assert.is(codeOf(run, 1), 'crashed')
  assert.is(countExecutions(executionsOf(home)).get(`${id}/3`), 1)
})

/** The reply can be lost with the process, so the run is found in the database. */
async function postUntilKilled(home: Home, child: Child, request: object): Promise<string> {
  const reply = child.post('/run-tasks', request).catch(() => null)
  assert.equal(await child.ended(), killed)
  await reply
  const [stored] = readDatabase(home.databasePath).runs
  return stored?.id ?? ''
}

function final(child: Child, id: string): Promise<RunView> {
  return until(`the run ${id} is final`, async () => {
    const run = await readRun(await child.get(`/runs/${id}`))
    return run.state !== 'running' && run
  })
}

function statesOf(run: RunView): string[] {
  return run.jobs.map(({ state }) => state)
}

function codeOf(run: RunView, index: number): unknown {
  return Reflect.get(jobAt(run, index).error ?? {}, 'code')
}

function executionsOf(home: Home): string {
  return join(home.directory, 'executions')
}

test.run()
