/** Two versions of the tasks directory, one after the other and side by side: a job waits for a process that has its task. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Child, type Home } from '../harness/child.ts'
import { makeSchema } from '../harness/postgres.ts'
import { jobAt, readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'

const quick = `export default { kind: 'io', run: async (value) => value }`
const slow = `import { setTimeout as sleep } from 'node:timers/promises'
export default { kind: 'io', run: async (ms, { signal }) => (await sleep(ms, 'slept', { signal })) }`
const grace = { SHUTDOWN_GRACE_MS: '0', CANCEL_GRACE_MS: '100', THREADS: '1' }
const warning = 'jobs wait for tasks that no process runs'

interface Versions {
  readonly old: { readonly TASKS_DIR: string }
  readonly next: { readonly TASKS_DIR: string }
}

/** Both have `kept`; the next one has `added` too. */
async function makeVersions({ directory }: Home): Promise<Versions> {
  const [old, next] = [join(directory, 'old'), join(directory, 'next')]
  for (const version of [old, next]) {
    await mkdir(version)
    await writeFile(join(version, 'kept.mjs'), quick)
  }
  await writeFile(join(next, 'added.mjs'), slow)
  return { old: { TASKS_DIR: old }, next: { TASKS_DIR: next } }
}

test('rolling deploys and roll-backs lose no job on PostgreSQL', async () => {
  await using schema = await makeSchema()
  await using home = await makeHome({ DATABASE_URL: schema.url, DATABASE_SCHEMA: schema.name, ...grace })
  const { old, next } = await makeVersions(home)
  const tasks = [{ name: 'kept' }, { name: 'kept' }, { name: 'added', input: 1 }]
  let posted = 0

  async function post(child: Child, some: readonly object[] = tasks): Promise<void> {
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => child.post('/run-tasks', { respond: 'none', tasks: some })),
    )
    posted += replies.filter(({ status }) => status === 202).length * some.length
  }

  const newHttp = await home.start({ ...next, ROLE: 'http' })
  await post(newHttp)
  assert.equal(await unknownIn(newHttp), { kept: 20, added: 10 }, 'no process has threads')
  const oldWorker = await home.start({ ...old, ROLE: 'worker' })
  await oldWorker.logged(warning)
  await post(newHttp)
  await until('the old version has run what it knows', async () => (await stateCounts(newHttp)).completed === 40)
  assert.equal(await unknownIn(newHttp), { added: 20 })
  assert.equal(await unknownIn(oldWorker), { added: 20 })

  // The deploy goes on.
  const newWorker = await home.start({ ...next, ROLE: 'worker' })
  await Promise.all([post(newHttp), oldWorker.kill('SIGTERM')])
  await until('everything has run', async () => (await stateCounts(newHttp)).completed === posted)

  // It is rolled back while jobs of the added task run and wait.
  await post(newHttp, [{ name: 'kept' }, { name: 'added', input: 20_000 }])
  const oldHttp = await home.start({ ...old, ROLE: 'http' })
  const oldAgain = await home.start({ ...old, ROLE: 'worker' })
  await Promise.all([newWorker.kill('SIGTERM'), newHttp.kill('SIGTERM'), post(oldHttp, [{ name: 'kept' }])])
  await until(
    'the old version has run what it knows',
    async () => (await stateCounts(oldHttp)).completed === posted - 10,
  )
  const { running, queued, failed, cancelled } = await stateCounts(oldHttp)
  assert.equal({ running, queued, failed, cancelled }, { running: 0, queued: 10, failed: 0, cancelled: 0 })
  assert.equal(
    oldAgain.lines.filter(({ level }) => level === 'error'),
    [],
  )
  const lost = await schema.query('SELECT 1 FROM job WHERE lost_starts > 0 OR failures <> $1', ['[]'])
  assert.equal(lost, [])
})

test('a job whose task was removed waits on SQLite, and runs when the task is back', async () => {
  await using home = await makeHome(grace)
  const { old, next } = await makeVersions(home)
  const first = await home.start(next)
  const jobs = Array.from({ length: 3 }, () => ({ name: 'added', input: 20_000 }))
  const { id } = await readRun(await first.post('/run-tasks', { respond: 'none', tasks: jobs }))
  await until('all run', async () =>
    (await readRun(await first.get(`/runs/${id}`))).jobs.every(({ state }) => state === 'running'),
  )
  await first.kill('SIGKILL')

  const without = await home.start(old)
  await without.logged(warning)
  assert.is((await without.post('/run-tasks', { tasks: [{ name: 'kept', input: 7 }] })).status, 200)
  assert.equal(await unknownIn(without), { added: 3 })
  assert.ok((await (await without.get('/metrics')).text()).includes('forerunner_unknown_task_jobs{task="added"} 3'))
  assert.is((await without.post(`/runs/${id}/jobs/1/cancel`)).status, 202)
  const waiting = await readRun(await without.get(`/runs/${id}`))
  assert.equal(
    waiting.jobs.map(({ state }) => state),
    ['queued', 'cancelled', 'queued'],
  )
  assert.is(without.lines.filter(({ msg }) => msg.startsWith(warning)).length, 1)
  await without.kill('SIGTERM')

  const back = await home.start(next)
  const run = await until('they run', async () => {
    const now = await readRun(await back.get(`/runs/${id}`))
    return now.jobs.filter(({ state }) => state === 'running').length === 2 && now
  })
  assert.is(jobAt(run, 0).attempt, 1)
  assert.equal(await unknownIn(back), {})
})

interface Stats {
  readonly unknownTasks: Readonly<Record<string, number>>
  readonly jobs: Readonly<Record<'queued' | 'running' | 'completed' | 'failed' | 'cancelled', number>>
}

async function statsOf(child: Child): Promise<Stats> {
  return (await (await child.get('/stats')).json()) as Stats
}

async function unknownIn(child: Child): Promise<Stats['unknownTasks']> {
  return (await statsOf(child)).unknownTasks
}

async function stateCounts(child: Child): Promise<Stats['jobs']> {
  return (await statsOf(child)).jobs
}

test.run()
