/** How soon a service is ready again after a kill with a hundred thousand jobs in its queue, some of them running. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { forerunnerOnSqlite } from '../contenders/contenders.ts'
import { format, spread } from '../rig/figures.ts'
import { startServer } from '../rig/server.ts'
import { fillDatabase } from '../rig/store-work.ts'
import { table } from '../report/markdown.ts'
import { collectFigures, type Scenario } from './scenario.ts'

/** Events in the life of one process, in epoch milliseconds. */
interface Life {
  readonly spawnedAt: number
  readonly readyAt: number
  readonly killedAt: number
}

const pollMs = 2
const readyLimitMs = 60_000
/** Jobs to finish before the kill, so that the service is at full speed. */
const jobsPerLife = 2_000

export const recovery: Scenario = {
  name: 'recovery',
  title: 'Recovery',
  async run(bench) {
    const rounds = bench.isQuick ? 1 : 5
    const queued = bench.isQuick ? 10_000 : 100_000
    const jobs = queued + (rounds + 1) * 10_000
    const file = `${await bench.makeDirectory()}/forerunner.db`
    bench.say(`recovery: fills a database with ${format(jobs)} jobs`)
    await fillDatabase(file, [{ task: 'third', kind: 'io', jobs, priority: 0 }])
    const port = await freePort()
    const contender = forerunnerOnSqlite(file, { MAX_BACKLOG: '10000000' })

    async function live(): Promise<Life> {
      const spawnedAt = Date.now()
      const starting = startServer(contender, { port })
      const readyAt = await untilReady(`http://127.0.0.1:${port}/readyz`)
      await using server = await starting
      const { conservation } = await server.stats()
      while ((await server.stats()).conservation.final < conservation.final + jobsPerLife) await sleep(pollMs)
      await server.kill()
      return { spawnedAt, readyAt, killedAt: Date.now() }
    }

    const lives: Life[] = []
    // The first process has nothing to recover.
    for (let round = 0; round <= rounds; round += 1) {
      bench.say(round === 0 ? 'recovery: first start' : `round ${round} of ${rounds}: recovery`)
      lives.push(await live())
    }
    await finishAll(contender, jobs)
    const { figures, add } = collectFigures()
    const title = `recovery, ${format(queued)} queued`
    for (const { spawnedAt, readyAt, firstFinishedAt, queuedThen } of resumedIn(file, lives.slice(1))) {
      if (queuedThen < queued) throw new Error(`only ${queuedThen} jobs were queued when the process was started`)
      add(`${title}: ready ms`, readyAt - spawnedAt)
      add(`${title}: first job after start ms`, firstFinishedAt - spawnedAt)
      add(`${title}: first job after ready ms`, firstFinishedAt - readyAt)
      add(`${title}: jobs queued`, queuedThen)
    }
    const rows = Object.entries(figures).map(([name, values]) => [name.replace(`${title}: `, ''), spread(values)])
    const text = `${rounds} rounds on one database of ${format(jobs)} jobs, each after \`kill -9\` at full speed.\n\n${table(['', 'median (min–max)'], rows)}`
    return { figures, text }
  },
}

async function finishAll(contender: ReturnType<typeof forerunnerOnSqlite>, jobs: number): Promise<void> {
  await using server = await startServer(contender)
  const { conservation } = await server.drained()
  if (conservation.final !== jobs || conservation.lost !== 0) {
    throw new Error(`of ${jobs} jobs ${conservation.final} are final and ${conservation.lost} are lost`)
  }
}

/** The jobs themselves say when they finished, to the millisecond and without requests to the service. */
function resumedIn(file: string, lives: readonly Life[]) {
  using database = new DatabaseSync(file, { readOnly: true })
  const finished = database.prepare('SELECT min(finished_at) AS at FROM job WHERE started_at >= ? AND finished_at < ?')
  const open = database.prepare('SELECT count(*) AS jobs FROM job WHERE finished_at >= ?')
  return lives.map((life) => ({
    ...life,
    firstFinishedAt: Number(finished.get(life.spawnedAt, life.killedAt)?.['at'] ?? Number.NaN),
    queuedThen: Number(open.get(life.spawnedAt)?.['jobs']),
  }))
}

/** @returns the instant of the first response with status 200, in epoch milliseconds */
async function untilReady(url: string): Promise<number> {
  const deadline = performance.now() + readyLimitMs
  while (performance.now() < deadline) {
    const response = await fetch(url).catch(() => null)
    const at = Date.now()
    await response?.body?.cancel()
    if (response?.ok === true) return at
    await sleep(pollMs)
  }
  throw new Error(`not ready in ${readyLimitMs} ms`)
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}
