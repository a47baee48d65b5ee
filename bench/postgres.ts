/**
 * npm run bench:postgres -- [--rounds 3] [--seconds 4] [--connections 50] [--json FILE]: Forerunner on PostgreSQL beside
 * the recipe on a queue library, in turn on the same server; then with one, two and four processes. Prints Markdown.
 */
import { writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { startPostgres } from '../test/harness/postgres.ts'
import { forerunnerOnPostgres, pgBoss } from './contenders/contenders.ts'
import { spread, table } from './rig/figures.ts'
import { startGenerator } from './rig/load.ts'
import { describeMachine } from './rig/machine.ts'
import { wholeNumber } from './rig/options.ts'
import { reportOf, type Entry } from './rig/report.ts'
import { measureRound } from './rig/round.ts'
import { startServer, type Server } from './rig/server.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
    connections: { type: 'string', default: '50' },
    json: { type: 'string' },
  },
})
const rounds = wholeNumber('rounds', values.rounds)
const seconds = wholeNumber('seconds', values.seconds)
const connections = wholeNumber('connections', values.connections)
const body = JSON.stringify({ tasks: ['first', 'second', 'third'].map((name) => ({ name })) })
const processCounts = [1, 2, 4]
const jobsPerRun = 3

const machine = describeMachine()
await using stack = new AsyncDisposableStack()
// As it comes: with fsync.
const postgres = await startPostgres([])
stack.defer(postgres.end)

/** Each contender once, in turn, so that whatever slows the machine down for a while slows both down. */
async function compare(): Promise<Entry[]> {
  await using scope = new AsyncDisposableStack()
  const generator = scope.use(startGenerator())
  const contenders = [pgBoss(postgres.url), forerunnerOnPostgres(postgres.url)]
  const started: { readonly entry: Entry; readonly server: Server }[] = []
  for (const contender of contenders) {
    started.push({ entry: { contender, rounds: [] }, server: scope.use(await startServer(contender)) })
  }
  for (let round = 0; round <= rounds; round += 1) {
    process.stderr.write(round === 0 ? 'warm-up\n' : `round ${round} of ${rounds}\n`)
    for (const { entry, server } of started) {
      const until = { seconds }
      const measured = await measureRound(entry.contender, server, generator, { body, connections, until })
      if (round > 0) entry.rounds.push(measured)
    }
  }
  return started.map(({ entry }) => entry)
}

/** Finished runs per second of so many processes, with the same connections spread over them. */
async function scale(count: number): Promise<number[]> {
  await using scope = new AsyncDisposableStack()
  const servers: Server[] = []
  for (let index = 0; index < count; index += 1) {
    servers.push(scope.use(await startServer(forerunnerOnPostgres(postgres.url))))
  }
  const members = servers.map((server) => ({ server, generator: scope.use(startGenerator()) }))
  const [first] = servers
  if (first === undefined) throw new Error('no process was started')
  const figures: number[] = []
  for (let round = 0; round <= rounds; round += 1) {
    const before = await first.drained()
    const startedAt = performance.now()
    const share = Math.ceil(connections / count)
    const loads = await Promise.all(
      members.map(({ server, generator }) =>
        generator.run({ url: `${server.url}/run-tasks`, body, connections: share, until: { seconds } }),
      ),
    )
    const after = await first.drained()
    const took = (performance.now() - startedAt) / 1_000
    if (loads.some(({ failed }) => failed > 0) || after.conservation.lost !== 0) throw new Error('requests failed')
    if (round > 0) figures.push((after.conservation.final - before.conservation.final) / jobsPerRun / took)
  }
  return figures
}

const entries = await compare()
const scaled: { readonly processes: number; readonly runsPerSecond: readonly number[] }[] = []
for (const processes of processCounts) {
  process.stderr.write(`${processes} processes\n`)
  scaled.push({ processes, runsPerSecond: await scale(processes) })
}
const settings = `${rounds} rounds of ${seconds} s after one of warm-up, ${connections} connections, PostgreSQL with fsync on the same machine`
const rows = scaled.map(({ processes, runsPerSecond }) => [String(processes), spread(runsPerSecond)])
process.stdout.write(
  `${machine}\n${settings}\n\n${reportOf(entries)}\n\n${table(['processes', 'finished runs/s'], rows)}\n`,
)
if (values.json !== undefined) {
  await writeFile(values.json, `${JSON.stringify({ machine, settings, entries, scaled }, null, 2)}\n`)
}
