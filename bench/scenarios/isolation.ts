/**
 * Does the first response stay fast while the machine is full of background work? Requests with only a first task
 * arrive at a fixed rate, together with runs whose two background tasks use 20 ms of CPU each.
 */
import { forerunnerOnSqlite, volatileApp, type Contender } from '../contenders/contenders.ts'
import { percentile } from '../../src/cli/open-loop.ts'
import { format, pairedRatios, spread } from '../rig/figures.ts'
import type { Generator } from '../rig/load.ts'
import { finishedJobs } from '../rig/round.ts'
import { startServer, type Server } from '../rig/server.ts'
import { table } from '../report/markdown.ts'
import { collectFigures, type Bench, type Scenario } from './scenario.ts'

interface State {
  readonly name: string
  /** Offered work, in multiples of all cores that the servers may use. */
  readonly share: number
}

interface Window {
  /** Ascending. */
  readonly latenciesMs: readonly number[]
  /** null if the contender does not run on Node. */
  readonly loopP99Ms: number | null
  readonly latenessP99Ms: number
  /** Jobs that were not finished at the last response. */
  readonly backlog: number
  readonly drainSeconds: number
}

const states: readonly State[] = [
  { name: 'idle', share: 0 },
  { name: '0.5×', share: 0.5 },
  { name: '1×', share: 1 },
  { name: '2×', share: 2 },
]
const probesPerSecond = 250
const cpuMsPerJob = 20
const jobsPerBusyRun = 2
const msPerSecond = 1_000
const probe = JSON.stringify({ tasks: [{ name: 'first' }] })
const burn = { name: 'burn', input: { cpuMs: cpuMsPerJob } }
const busyRun = JSON.stringify({ tasks: [{ name: 'first' }, burn, burn] })

async function measure(
  { name }: Contender,
  server: Server,
  generator: Generator,
  load: { readonly seconds: number; readonly busyPerSecond: number },
): Promise<Window> {
  const before = await server.drained()
  if (server.watchesLoop) await server.resetLoopDelays()
  const { streams, latenessMs } = await generator.offer({
    url: `${server.url}/run-tasks`,
    seconds: load.seconds,
    streams: [
      { body: probe, perSecond: probesPerSecond },
      { body: busyRun, perSecond: load.busyPerSecond },
    ],
  })
  const loopP99Ms = server.watchesLoop ? (await server.loopDelays()).p99Ms : null
  const { backlog } = await server.stats()
  const endedAt = performance.now()
  const after = await server.drained()
  finishedJobs(
    name,
    before,
    after,
    streams.reduce((sum, { failed }) => sum + failed, 0),
  )
  return {
    latenciesMs: streams[0]?.latenciesMs ?? [],
    loopP99Ms,
    latenessP99Ms: percentile(latenessMs, 99),
    backlog,
    drainSeconds: (performance.now() - endedAt) / msPerSecond,
  }
}

export const isolation: Scenario = {
  name: 'isolation',
  title: 'Isolation',
  async run(bench, scope) {
    const rounds = bench.isQuick ? 1 : 3
    const seconds = bench.isQuick ? 0.5 : 2.5
    const generator = scope.use(bench.startGenerator())
    const contenders = await contendersOf(bench)
    const entries: {
      readonly contender: Contender
      readonly server: Server
      readonly windows: Map<State, Window[]>
    }[] = []
    for (const contender of contenders) {
      const server = scope.use(await startServer(contender, { watchesLoop: contender.program === undefined }))
      entries.push({ contender, server, windows: new Map(states.map((state) => [state, []])) })
    }
    const busyOf = ({ share }: State): number =>
      (share * bench.cores.forServers * msPerSecond) / (cpuMsPerJob * jobsPerBusyRun)
    for (const { contender, server } of entries) {
      await measure(contender, server, generator, { seconds, busyPerSecond: 10 })
    }
    for (let round = 1; round <= rounds; round += 1) {
      for (const { contender, server, windows } of entries) {
        bench.say(`round ${round} of ${rounds}: isolation, ${contender.name}`)
        for (const [state, taken] of windows) {
          taken.push(await measure(contender, server, generator, { seconds, busyPerSecond: busyOf(state) }))
        }
      }
    }
    const { figures, add } = collectFigures()
    for (const { contender, windows } of entries) {
      for (const [state, taken] of windows) {
        const title = `isolation, ${contender.name}, ${state.name}`
        for (const { latenciesMs, loopP99Ms, backlog } of taken) {
          add(`${title}: p50 ms`, percentile(latenciesMs, 50))
          add(`${title}: p99 ms`, percentile(latenciesMs, 99))
          add(`${title}: backlog`, backlog)
          if (loopP99Ms !== null) add(`${title}: loop delay p99 ms`, loopP99Ms)
        }
        add(`${title}: p99.9 ms of all rounds`, pooled(taken, 99.9))
      }
    }
    const rows = entries.flatMap(({ contender, windows }) => rowsOf(contender.name, windows, busyOf))
    const settings = `${rounds} rounds of ${seconds} s for each state, ${probesPerSecond} requests/s are measured.`
    return { figures, text: `${settings}\n\n${table(head, rows)}` }
  },
}

async function contendersOf(bench: Bench): Promise<Contender[]> {
  const sqlite = forerunnerOnSqlite(`${await bench.makeDirectory()}/forerunner.db`)
  const python = bench.fastApi()
  return [volatileApp, sqlite, ...(python === null ? [] : [python])]
}

const head = [
  '',
  'offered',
  'jobs/s',
  'p50 ms',
  'p99 ms',
  'p99.9 ms',
  'p99 ÷ idle',
  'loop delay p99 ms',
  'generator late p99 ms',
  'backlog at the end',
  'drain s',
]

function rowsOf(
  name: string,
  windows: ReadonlyMap<State, readonly Window[]>,
  busyOf: (state: State) => number,
): string[][] {
  const p99s = (taken: readonly Window[]): number[] => taken.map(({ latenciesMs }) => percentile(latenciesMs, 99))
  const [idle = []] = windows.values()
  return [...windows].map(([state, taken]) => [
    name,
    state.name,
    format(busyOf(state) * jobsPerBusyRun),
    spread(
      taken.map(({ latenciesMs }) => percentile(latenciesMs, 50)),
      1,
    ),
    spread(p99s(taken), 1),
    format(pooled(taken, 99.9), 1),
    state.share === 0 ? '' : spread(pairedRatios(p99s(taken), p99s(idle)), 2),
    spread(
      taken.flatMap(({ loopP99Ms }) => loopP99Ms ?? []),
      1,
    ),
    spread(
      taken.map(({ latenessP99Ms }) => latenessP99Ms),
      1,
    ),
    spread(taken.map(({ backlog }) => backlog)),
    spread(
      taken.map(({ drainSeconds }) => drainSeconds),
      1,
    ),
  ])
}

/** Over all rounds, because a single one has too few requests for it. */
function pooled(windows: readonly Window[], percent: number): number {
  const all = windows.flatMap(({ latenciesMs }) => latenciesMs)
  return percentile(Float64Array.from(all).toSorted(), percent)
}
