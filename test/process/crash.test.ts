/** Accepted means committed, nothing is lost, and nothing completed runs again, whenever the process is killed. */
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, within, type Child } from '../harness/child.ts'
import { readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'
import { readDatabase, type StoredJob, type StoredRows } from './database-file.ts'
import { countExecutions, jobKey, stepsRunTwice } from './executions.ts'
import { createInterference } from './interference.ts'
import { loadUntilGone, type Reply } from './load.ts'
import { unaskedOutcomes } from './unasked.ts'
import { createRandom } from '../harness/random.ts'

const kills = 12

/** What a completed job leaves behind: neither may ever change. */
interface Done {
  readonly executions: number
  readonly result: string | null
}

interface Stats {
  readonly backlog: number
  readonly conservation: {
    readonly accepted: number
    readonly final: number
    readonly live: number
    readonly lost: number
  }
}

test(`nothing is lost and nothing completed runs again, after ${kills} kills under load`, async () => {
  const seed = Number(process.env['CRASH_SEED'] ?? randomInt(2 ** 31))
  console.log(`crash test: CRASH_SEED=${seed}`)
  const random = createRandom(seed)
  await using home = await makeHome({ THREADS: '1' })
  const interference = createInterference(random)
  const executionsFile = join(home.directory, 'executions')
  const stepsFile = join(home.directory, 'steps')
  const replies: Reply[] = []
  const done = new Map<string, Done>()

  function inspect(): StoredRows {
    const rows = readDatabase(home.databasePath)
    checkReplies(rows, replies)
    checkDone(rows.jobs, countExecutions(executionsFile), done)
    assert.equal(stepsRunTwice(stepsFile, interference.mayGoOn), [], 'stored steps that ran again')
    return rows
  }

  for (let kill = 0; kill < kills; kill += 1) {
    const child = await home.start()
    const killed = new AbortController()
    const { promise: replied, resolve: onReply } = Promise.withResolvers<void>()
    const loading = loadUntilGone(child, random, interference, killed.signal, onReply)
    const [heard, exit] = await Promise.all([loading, killAfter(child, replied, random.whole(100, 400), killed)])
    assert.is(exit.signal, 'SIGKILL')
    checkLog(child)
    replies.push(...heard)
    inspect()
  }

  const last = await home.start()
  const { conservation } = await until('every job is final', async () => {
    const stats = await readStats(last)
    return stats.backlog === 0 && stats
  })
  await checkServed(last, replies)
  checkLog(last)
  assert.equal(await last.kill('SIGTERM'), { code: 0, signal: null })

  const { runs, jobs } = inspect()
  assert.equal(conservation, { accepted: jobs.length, final: jobs.length, live: 0, lost: 0 })
  assert.equal(unsettled(runs, jobs), [])
  assert.equal(unaskedOutcomes(jobs, interference.mayBeCancelled, kills), [])
  assert.ok(replies.length >= kills, `only ${replies.length} replies`)
  const told = describeCounts({ runs, jobs }, countExecutions(executionsFile), done)
  console.log(
    `crash test: ${kills} kills, ${replies.length} replied, ${told}, lost = ${conservation.lost}, seed ${seed}`,
  )
})

async function killAfter(child: Child, replied: Promise<void>, delayMs: number, killed: AbortController) {
  // A random moment is what this test is about; on a busy machine, one at which something was accepted.
  await Promise.all([pause(delayMs), within('a run was accepted', replied)])
  killed.abort()
  return child.kill('SIGKILL')
}

function checkLog(child: Child): void {
  const bad = child.lines.filter(({ level }) => level === 'error' || level === 'fatal')
  assert.equal(bad, [])
  assert.is(child.errors(), '')
}

/** What a caller was told was on disk before it was told. */
function checkReplies({ runs, jobs }: StoredRows, replies: readonly Reply[]): void {
  const runById = new Map(runs.map((run) => [run.id, run]))
  const firstJobs = new Map(jobs.filter(({ jobIndex }) => jobIndex === 0).map((job) => [job.runId, job]))
  const broken = replies.filter(({ runId, status, result }) => {
    const stored = firstJobs.get(runId)?.result ?? undefined
    return runById.get(runId)?.answerStatus !== status || stored !== result
  })
  assert.equal(broken, [], 'replies that the database does not know')
}

/** Compares with what was completed before, and adds what is completed since. */
function checkDone(jobs: readonly StoredJob[], executions: ReadonlyMap<string, number>, done: Map<string, Done>): void {
  const completed = new Map<string, Done>()
  for (const job of jobs) {
    if (job.state !== 'completed') continue
    const key = jobKey(job)
    completed.set(key, { executions: executions.get(key) ?? 0, result: job.result })
  }
  const changed = [...done].filter(([key, { executions: count, result }]) => {
    const now = completed.get(key)
    return now?.executions !== count || now.result !== result
  })
  assert.equal(changed, [], 'completed jobs that ran again, changed or vanished')
  for (const [key, value] of completed) done.set(key, value)
}

async function checkServed(child: Child, replies: readonly Reply[]): Promise<void> {
  for (const { runId, status, result } of replies) {
    const response = await child.get(`/runs/${runId}`)
    const run = await readRun(response)
    assert.is(response.status, 200)
    assert.ok(run.state !== 'running', `${runId} is ${run.state}`)
    assert.equal(run.answer, { mode: 'first', jobIndex: 0 })
    assert.is('result' in run ? JSON.stringify(run.result) : undefined, result, `${runId} answered ${status}`)
  }
}

async function readStats(child: Child): Promise<Stats> {
  const response = await child.get('/stats')
  return (await response.json()) as Stats
}

/** Runs that are not final, or that are something else than their jobs. */
function unsettled(runs: StoredRows['runs'], jobs: StoredRows['jobs']): unknown[] {
  const statesOf = Map.groupBy(jobs, ({ runId }) => runId)
  return runs.filter(({ id, state }) => {
    const states = (statesOf.get(id) ?? []).map((job) => job.state)
    const expected = (['failed', 'cancelled', 'completed'] as const).find((one) => states.includes(one))
    return state !== expected || states.some((one) => one !== 'completed' && one !== 'failed' && one !== 'cancelled')
  })
}

function describeCounts({ runs, jobs }: StoredRows, executions: ReadonlyMap<string, number>, done: Map<string, Done>) {
  const count = (state: string): number => jobs.filter((job) => job.state === state).length
  const crashed = jobs.filter(({ error }) => error?.includes('"crashed"')).length
  // What was started and is no spent attempt was lost to a kill.
  const attempts = jobs.reduce((sum, { attempt }) => sum + attempt, 0)
  const started = [...executions.values()].reduce((sum, one) => sum + one, 0)
  const ranAgain = [...done].filter(([key, known]) => executions.get(key) !== known.executions).length
  return (
    `${runs.length} runs accepted, ${jobs.length} jobs, ${count('completed')} completed, ${count('failed')} failed ` +
    `(${crashed} as crashed), ${count('cancelled')} cancelled, ${started - attempts} executions lost to a kill or a cancel, ${ranAgain} completed jobs run again`
  )
}

test.run()
