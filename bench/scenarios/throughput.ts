/** Completed runs per second of every contender: a first task, which decides the answer, and two later ones; all do nothing. */
import {
  forerunnerOnPostgres,
  forerunnerOnSqlite,
  names,
  pgBoss,
  plain,
  volatileApp,
  type Contender,
} from '../contenders/contenders.ts'
import { format, median, pairedRatios, spread } from '../rig/figures.ts'
import { sumOf } from '../rig/cpu-time.ts'
import { measureRound, type Round } from '../rig/round.ts'
import { startServer, type Server } from '../rig/server.ts'
import { table } from '../report/markdown.ts'
import { collectFigures, recipe, type Bench, type Scenario } from './scenario.ts'

export const connectionCounts = [50, 200] as const

const bytesPerKb = 1_000

interface Load {
  readonly title: string
  readonly connections: number
  readonly body: string
  /** null: all. */
  readonly contenders: readonly string[] | null
}

interface Entry {
  readonly contender: Contender
  readonly server: Server
}

const loads: readonly Load[] = [
  ...connectionCounts.map((connections) => ({
    title: `throughput, ${connections} connections`,
    connections,
    body: recipe,
    contenders: null,
  })),
  {
    title: 'throughput, 50 connections, background tasks of kind cpu',
    connections: 50,
    body: JSON.stringify({ tasks: ['first', 'second-cpu', 'third-cpu'].map((name) => ({ name })) }),
    // Other contenders have no kinds of tasks.
    contenders: [names.volatile, names.sqlite],
  },
]

async function contendersOf(bench: Bench): Promise<Contender[]> {
  const postgres = await bench.postgres()
  const sqlite = forerunnerOnSqlite(`${await bench.makeDirectory()}/forerunner.db`)
  const found = [await bench.bullMq(), bench.fastApi()].filter((contender) => contender !== null)
  return [plain, volatileApp, sqlite, forerunnerOnPostgres(postgres), pgBoss(postgres), ...found]
}

export const throughput: Scenario = {
  name: 'throughput',
  title: 'Throughput',
  async run(bench, scope) {
    const rounds = bench.isQuick ? 1 : 5
    const seconds = bench.isQuick ? 0.5 : 2
    // V8 has compiled the hot code after some 20,000 runs.
    const warmUpSeconds = bench.isQuick ? 0.5 : 8
    const generator = scope.use(bench.startGenerator())
    const entries: Entry[] = []
    for (const contender of await contendersOf(bench)) {
      entries.push({ contender, server: scope.use(await startServer(contender)) })
    }
    const results = loads.map((load) => {
      const taking = entries.filter(({ contender }) => load.contenders?.includes(contender.name) !== false)
      return { load, entries: taking.map((entry) => ({ ...entry, rounds: [] as Round[] })) }
    })
    bench.say('warm-up')
    for (const { contender, server } of entries) {
      await measureRound(contender, server, generator, { body: recipe, connections: 50, seconds: warmUpSeconds })
    }
    for (let round = 1; round <= rounds; round += 1) {
      // The rounds of all loads alternate, so that a slow minute of the machine affects all of them.
      for (const { load, entries: taking } of results) {
        bench.say(`round ${round} of ${rounds}: ${load.title}`)
        for (const { contender, server, rounds: taken } of taking) {
          taken.push(await measureRound(contender, server, generator, { ...load, seconds }))
        }
      }
    }
    const { figures, add } = collectFigures()
    const sections: string[] = []
    for (const { load, entries: taken } of results) {
      const byName = new Map(taken.map(({ contender, rounds: all }) => [contender.name, all]))
      for (const [name, all] of byName) for (const one of all) addFigures(add, `${load.title}, ${name}`, one)
      sections.push(describe(load, byName))
    }
    const settings = `${rounds} rounds of ${seconds} s after ${warmUpSeconds} s of warm-up for each.`
    return { figures, text: [settings, ...sections].join('\n\n') }
  },
}

function addFigures(add: (key: string, value: number) => void, title: string, round: Round): void {
  add(`${title}: completed runs/s`, round.runsPerSecond)
  add(`${title}: p50 ms`, round.p50Ms)
  add(`${title}: p99 ms`, round.p99Ms)
  add(`${title}: drain s`, round.drainSeconds)
  add(`${title}: generator share`, round.generatorShare)
  add(`${title}: database server CPU µs/run`, round.helperCpuUs)
  if (round.residentMb !== null) add(`${title}: resident MB`, round.residentMb)
  if (round.writtenBytes !== null) add(`${title}: written kB/run`, round.writtenBytes / bytesPerKb)
  if (round.fileBytes !== null) add(`${title}: file B/run`, round.fileBytes)
  if (round.cpuUs === null) return
  add(`${title}: main-thread CPU µs/run`, round.cpuUs['main'] ?? 0)
  add(`${title}: store-thread CPU µs/run`, round.cpuUs['store'] ?? 0)
  add(`${title}: whole-process CPU µs/run`, sumOf(round.cpuUs))
}

function describe({ title }: Load, byName: ReadonlyMap<string, readonly Round[]>): string {
  const head = [
    '',
    'completed runs/s',
    'drain s',
    'p50 ms',
    'p99 ms',
    'main µs/run',
    'process µs/run',
    'database µs/run',
    'generator CPU',
  ]
  const rows = [...byName].map(([name, rounds]) => [
    name,
    spread(rounds.map(({ runsPerSecond }) => runsPerSecond)),
    format(median(rounds.map(({ drainSeconds }) => drainSeconds)), 2),
    spread(
      rounds.map(({ p50Ms }) => p50Ms),
      1,
    ),
    spread(
      rounds.map(({ p99Ms }) => p99Ms),
      1,
    ),
    spread(rounds.flatMap(({ cpuUs }) => cpuUs?.['main'] ?? [])),
    spread(rounds.flatMap(({ cpuUs }) => (cpuUs === null ? [] : sumOf(cpuUs)))),
    format(median(rounds.map(({ helperCpuUs }) => helperCpuUs))),
    `${format(median(rounds.map(({ generatorShare }) => generatorShare * 100)))} %`,
  ])
  const heading = `**${title[0]?.toUpperCase()}${title.slice(1)}**`
  return [heading, table(head, rows), threads(byName), ratios(byName)].join('\n\n')
}

/** Medians of the CPU time that each thread uses for a run. */
function threads(byName: ReadonlyMap<string, readonly Round[]>): string {
  const lines = [...byName].map(([name, rounds]) => {
    const threadNames = [...new Set(rounds.flatMap(({ cpuUs }) => Object.keys(cpuUs ?? {})))]
    const shares = threadNames
      .map((thread) => ({ thread, us: median(rounds.map(({ cpuUs }) => cpuUs?.[thread] ?? 0)) }))
      .filter(({ us }) => us >= 1)
      .toSorted((a, b) => b.us - a.us)
    return `- ${name}: ${shares.map(({ thread, us }) => `${thread} ${format(us)}`).join(', ')}`
  })
  return ['CPU by thread, µs/run:', '', ...lines].join('\n')
}

function ratios(byName: ReadonlyMap<string, readonly Round[]>): string {
  const subject = byName.get(names.sqlite) ?? []
  const ratio = (rounds: readonly Round[], valueOf: (round: Round) => number): string =>
    spread(pairedRatios(subject.map(valueOf), rounds.map(valueOf)), 2)
  const rows = [...byName]
    .filter(([name]) => name !== names.sqlite)
    .map(([name, rounds]) => [
      `÷ ${name}`,
      ratio(rounds, ({ runsPerSecond }) => runsPerSecond),
      ratio(rounds, ({ p99Ms }) => p99Ms),
      rounds.some(({ cpuUs }) => cpuUs === null) ? 'n/a' : ratio(rounds, ({ cpuUs }) => sumOf(cpuUs ?? {})),
    ])
  return table([names.sqlite, 'completed runs/s', 'p99', 'process CPU per run'], rows)
}
