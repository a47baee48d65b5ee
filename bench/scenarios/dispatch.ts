/** How many durable jobs that do nothing finish per second from a backlog, for each kind of task. */
import { forerunnerOnSqlite } from '../contenders/contenders.ts'
import { readCpuTimes, spentUs, sumOf } from '../rig/cpu-time.ts'
import { format, spread } from '../rig/figures.ts'
import { finishedJobs } from '../rig/round.ts'
import { startServer } from '../rig/server.ts'
import { fillDatabase } from '../rig/store-work.ts'
import { table } from '../report/markdown.ts'
import { collectFigures, type Bench, type Scenario } from './scenario.ts'

interface Kind {
  readonly kind: 'io' | 'cpu'
  readonly task: string
  readonly trialJobs: number
}

interface Backlog extends Kind {
  readonly jobs: number
}

interface Round {
  readonly finished: number
  readonly jobsPerSecond: number
  /** Per job, by the name of the thread; null if the system does not report it. */
  readonly cpuUs: Readonly<Record<string, number>> | null
}

const msPerSecond = 1_000
const kinds: readonly Kind[] = [
  { kind: 'io', task: 'third', trialJobs: 10_000 },
  { kind: 'cpu', task: 'third-cpu', trialJobs: 4_000 },
]
const mostJobs = 400_000

/** The number of jobs that take about this many seconds, in whole thousands. */
async function sizeBacklog(bench: Bench, kind: Kind, seconds: number): Promise<Backlog> {
  const { finished, jobsPerSecond } = await measure(bench, { ...kind, jobs: kind.trialJobs })
  // Most of them were finished before the first check.
  if (finished < kind.trialJobs / 2) return { ...kind, jobs: mostJobs }
  const jobs = Math.ceil((jobsPerSecond * seconds) / 1_000) * 1_000
  return { ...kind, jobs: Math.min(jobs, mostJobs) }
}

/** Time starts at the first check of a ready service; jobs that were finished before do not count. */
async function measure(bench: Bench, { kind, task, jobs }: Backlog): Promise<Round> {
  const file = `${await bench.makeDirectory()}/forerunner.db`
  await fillDatabase(file, [{ task, kind, jobs, priority: 0 }])
  const contender = forerunnerOnSqlite(file, { MAX_BACKLOG: '10000000' })
  await using server = await startServer(contender)
  const before = await server.stats()
  const cpuBefore = await readCpuTimes(server.pid)
  const startedAt = performance.now()
  const after = await server.drained()
  const seconds = (performance.now() - startedAt) / msPerSecond
  const cpuAfter = await readCpuTimes(server.pid)
  // No job is accepted here: all jobs were on disk.
  const { accepted } = before.conservation
  const start = { ...before, conservation: { ...before.conservation, accepted: before.conservation.final } }
  if (accepted !== jobs) throw new Error(`the database was to have ${jobs} jobs and has ${accepted}`)
  const finished = finishedJobs(contender.name, start, after, 0)
  const perJob = Object.entries(spentUs(cpuBefore, cpuAfter)).map(([thread, us]) => [thread, us / finished])
  return { finished, jobsPerSecond: finished / seconds, cpuUs: cpuAfter === null ? null : Object.fromEntries(perJob) }
}

export const dispatch: Scenario = {
  name: 'dispatch',
  title: 'Dispatch from a backlog',
  async run(bench) {
    const rounds = bench.isQuick ? 1 : 3
    bench.say('dispatch: trials')
    const results: { readonly backlog: Backlog; readonly rounds: Round[] }[] = []
    for (const kind of kinds)
      results.push({ backlog: await sizeBacklog(bench, kind, bench.isQuick ? 1 : 6), rounds: [] })
    for (let round = 1; round <= rounds; round += 1) {
      for (const { backlog, rounds: taken } of results) {
        bench.say(`round ${round} of ${rounds}: dispatch, ${backlog.kind}`)
        taken.push(await measure(bench, backlog))
      }
    }
    const { figures, add } = collectFigures()
    for (const { backlog, rounds: taken } of results) {
      for (const { jobsPerSecond, cpuUs } of taken) {
        add(`dispatch, ${backlog.kind}: jobs/s`, jobsPerSecond)
        if (cpuUs !== null) add(`dispatch, ${backlog.kind}: whole-process CPU µs/job`, sumOf(cpuUs))
      }
    }
    const rows = results.map(({ backlog, rounds: taken }) => [
      backlog.kind,
      format(backlog.jobs),
      spread(taken.map(({ jobsPerSecond }) => jobsPerSecond)),
      ...['main', 'store'].map((thread) => spread(taken.flatMap(({ cpuUs }) => cpuUs?.[thread] ?? []))),
      spread(taken.flatMap(({ cpuUs }) => (cpuUs === null ? [] : sumOf(cpuUs)))),
    ])
    const head = ['kind', 'jobs at the start', 'finished jobs/s', 'main µs/job', 'store µs/job', 'process µs/job']
    const text = `${rounds} rounds, each on a new database and in a new process, sized by a trial to take some seconds.\n\n${table(head, rows)}`
    return { figures, text }
  },
}
