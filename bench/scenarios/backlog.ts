/**
 * The cost of a growing queue: accepting a run, claiming a job, and memory, with a thousand to a million waiting jobs.
 * They are due and of kind `cpu`; a job that only waits occupies the one thread on which they could run.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { forerunnerOnSqlite, type Contender } from '../contenders/contenders.ts'
import { format, spread } from '../rig/figures.ts'
import { residentMb } from '../rig/processes.ts'
import { measureRound } from '../rig/round.ts'
import { startServer, type Server } from '../rig/server.ts'
import { fillDatabase, measureClaims } from '../rig/store-work.ts'
import { table } from '../report/markdown.ts'
import { collectFigures, recipe, type Bench, type Scenario } from './scenario.ts'

interface Level {
  readonly jobs: number
  readonly title: string
  readonly file: string
  readonly contender: Contender
}

const connections = 50
/** V8 returns memory only after a while. */
const restMs = 5_000
const claims = { kind: 'cpu', groups: 5, size: 50 } as const
const quantities = [
  { name: 'main and store CPU µs/run', digits: 0 },
  { name: 'accept p50 ms', digits: 1 },
  { name: 'claim CPU µs/job', digits: 1 },
  { name: 'claim µs/job', digits: 1 },
  { name: 'resident MB before load', digits: 0 },
  { name: 'resident MB after load', digits: 0 },
] as const

async function makeLevel(bench: Bench, jobs: number): Promise<Level> {
  const title = `${format(jobs)} queued`
  bench.say(`backlog: fills a database with ${format(jobs)} jobs`)
  const file = `${await bench.makeDirectory()}/forerunner.db`
  await fillDatabase(file, [
    { task: 'hold', kind: 'cpu', jobs: 1, priority: 9 },
    { task: 'second-cpu', kind: 'cpu', jobs, priority: 0 },
  ])
  return { jobs, title, file, contender: forerunnerOnSqlite(file, { MAX_BACKLOG: '10000000', THREADS: '1' }) }
}

export const backlog: Scenario = {
  name: 'backlog',
  title: 'Growth of the backlog',
  async run(bench, scope) {
    const rounds = bench.isQuick ? 1 : 3
    const seconds = bench.isQuick ? 0.5 : 2
    const generator = scope.use(bench.startGenerator())
    const levels: Level[] = []
    for (const jobs of bench.isQuick ? [1_000, 100_000] : [1_000, 100_000, 1_000_000])
      levels.push(await makeLevel(bench, jobs))
    const { figures, add } = collectFigures()

    async function noteMemory(servers: ReadonlyMap<Level, Server>, when: string): Promise<void> {
      await sleep(restMs)
      for (const [{ title }, { pid }] of servers) {
        const mb = residentMb(pid)
        if (mb !== null) add(`backlog, ${title}: resident MB ${when}`, mb)
      }
    }

    await (async () => {
      await using running = new AsyncDisposableStack()
      const servers = new Map<Level, Server>()
      for (const level of levels) servers.set(level, running.use(await startServer(level.contender)))
      await noteMemory(servers, 'before load')
      for (let round = 0; round <= rounds; round += 1) {
        bench.say(round === 0 ? 'backlog: warm-up' : `round ${round} of ${rounds}: backlog`)
        for (const [level, server] of servers) {
          const request = { body: recipe, connections, seconds, leftOver: level.jobs + 1 }
          const { cpuUs, p50Ms } = await measureRound(level.contender, server, generator, request)
          if (round === 0) continue
          if (cpuUs !== null) {
            add(`backlog, ${level.title}: main and store CPU µs/run`, (cpuUs['main'] ?? 0) + (cpuUs['store'] ?? 0))
          }
          add(`backlog, ${level.title}: accept p50 ms`, p50Ms)
        }
      }
      await noteMemory(servers, 'after load')
    })()
    for (let round = 1; round <= rounds; round += 1) {
      for (const { title, file } of levels) {
        const cost = await measureClaims(file, claims)
        add(`backlog, ${title}: claim CPU µs/job`, cost.cpuUsPerJob)
        add(`backlog, ${title}: claim µs/job`, cost.wallUsPerJob)
      }
    }
    const rows = levels.map(({ title }) => [
      title,
      ...quantities.map(({ name, digits }) => spread(figures[`backlog, ${title}: ${name}`] ?? [], digits)),
    ])
    const settings = `${rounds} rounds of ${seconds} s at ${connections} connections after one of warm-up; claims in ${claims.groups} groups of ${claims.size} in a new process.`
    return { figures, text: `${settings}\n\n${table(['', ...quantities.map(({ name }) => name)], rows)}` }
  },
}
