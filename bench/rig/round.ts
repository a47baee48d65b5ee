/** One measurement of one contender: load, then the wait until everything that was accepted is finished. */
import type { Contender } from '../contenders/contenders.ts'
import { readCpuTimes, spentUs } from './cpu-time.ts'
import type { Generator, LoadReport, LoadRequest } from './load.ts'
import type { Server } from './server.ts'

export interface Round extends LoadReport {
  readonly runs: number
  /** From the first request until the last job of the last run was finished. */
  readonly seconds: number
  readonly runsPerSecond: number
  /** How long of it the load was over and jobs were still to do. */
  readonly drainSeconds: number
  /** Per finished run, by the name of the thread; empty where the system does not tell. */
  readonly cpuUs: Readonly<Record<string, number>>
}

const msPerSecond = 1_000

/** @throws Error when a request failed, a job failed, or what was accepted was not finished */
export async function measureRound(
  contender: Contender,
  server: Server,
  generator: Generator,
  request: Omit<LoadRequest, 'url'>,
): Promise<Round> {
  const before = await server.drained()
  const cpuBefore = await readCpuTimes(server.pid)
  const startedAt = performance.now()
  const load = await generator.run({ ...request, url: `${server.url}/run-tasks` })
  const loadedAt = performance.now()
  const after = await server.drained()
  const finishedAt = performance.now()
  const cpuAfter = await readCpuTimes(server.pid)

  const runs = (after.conservation.final - before.conservation.final) / contender.jobsPerRun
  const accepted = (after.conservation.accepted - before.conservation.accepted) / contender.jobsPerRun
  const failedJobs = (after.jobs?.failed ?? 0) - (before.jobs?.failed ?? 0)
  const wrong = [
    load.failed > 0 && `${load.failed} requests failed`,
    failedJobs > 0 && `${failedJobs} jobs failed`,
    after.conservation.lost !== 0 && `${after.conservation.lost} jobs were lost`,
    // What was on its way when the load ended is accepted and finished too, and nobody heard of it.
    (runs !== accepted || runs < load.ok) && `${load.ok} answered, ${accepted} accepted, ${runs} finished`,
  ].filter((problem) => problem !== false)
  if (wrong.length > 0) throw new Error(`${contender.name}: ${wrong.join('; ')}`)

  const spent = cpuBefore === null || cpuAfter === null ? new Map<string, number>() : spentUs(cpuBefore, cpuAfter)
  const seconds = (finishedAt - startedAt) / msPerSecond
  return {
    ...load,
    runs,
    seconds,
    runsPerSecond: runs / seconds,
    drainSeconds: (finishedAt - loadedAt) / msPerSecond,
    cpuUs: Object.fromEntries([...spent].map(([thread, us]) => [thread, us / runs])),
  }
}
