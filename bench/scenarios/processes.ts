/** One, two and four processes of Forerunner on one PostgreSQL, with the same connections shared among them. */
import { forerunnerOnPostgres } from '../contenders/contenders.ts'
import { spread } from '../rig/figures.ts'
import { finishedJobs } from '../rig/round.ts'
import { startServer, type Server } from '../rig/server.ts'
import { table } from '../report/markdown.ts'
import { collectFigures, recipe, type Bench, type Scenario } from './scenario.ts'

const connections = 48
const jobsPerRun = 3
const msPerSecond = 1_000

/** Completed runs per second, one value per round. */
async function measure(bench: Bench, count: number, rounds: number, seconds: number): Promise<number[]> {
  await using scope = new AsyncDisposableStack()
  const contender = forerunnerOnPostgres(await bench.postgres())
  const servers: Server[] = []
  for (let index = 0; index < count; index += 1) servers.push(scope.use(await startServer(contender)))
  const members = servers.map((server) => ({ server, generator: scope.use(bench.startGenerator()) }))
  const [first] = servers
  if (first === undefined) throw new Error('no process was started')
  const rates: number[] = []
  for (let round = 0; round <= rounds; round += 1) {
    const before = await first.drained()
    const startedAt = performance.now()
    const loads = await Promise.all(
      members.map(({ server, generator }) =>
        generator.run({ url: `${server.url}/run-tasks`, body: recipe, connections: connections / count, seconds }),
      ),
    )
    const after = await first.drained()
    const took = (performance.now() - startedAt) / msPerSecond
    const failed = loads.reduce((sum, load) => sum + load.failed, 0)
    const runs = finishedJobs(contender.name, before, after, failed) / jobsPerRun
    if (round > 0) rates.push(runs / took)
  }
  return rates
}

export const processes: Scenario = {
  name: 'processes',
  title: 'Several processes',
  async run(bench) {
    const rounds = bench.isQuick ? 1 : 3
    const seconds = bench.isQuick ? 0.5 : 2
    const { figures, add } = collectFigures()
    for (const count of bench.isQuick ? [1, 2] : [1, 2, 4]) {
      bench.say(`processes: ${count}`)
      for (const rate of await measure(bench, count, rounds, seconds))
        add(`processes, ${count}: completed runs/s`, rate)
    }
    const rows = Object.entries(figures).map(([name, rates]) => [/\d+/.exec(name)?.[0] ?? '', spread(rates)])
    const settings = `${rounds} rounds of ${seconds} s after one of warm-up, ${connections} connections in all, a load generator for each process.`
    return { figures, text: `${settings}\n\n${table(['processes', 'completed runs/s'], rows)}` }
  },
}
