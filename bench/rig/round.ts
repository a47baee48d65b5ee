/** One measurement of one contender: load, then a wait until all accepted work is finished. */
import { statSync } from 'node:fs'
import type { Contender } from '../contenders/contenders.ts'
import { readCpuTimes, spentUs, sumOf } from './cpu-time.ts'
import type { Generator, LoadReport, LoadRequest } from './load.ts'
import { descendantsNamed, residentMb, writtenBytes } from './processes.ts'
import type { Server, Stats } from './server.ts'

export interface Round extends LoadReport {
  readonly runs: number
  /** From the first request until the last job of the last run finished. */
  readonly seconds: number
  readonly runsPerSecond: number
  /** The part of it after the load, while jobs were still running. */
  readonly drainSeconds: number
  /** Per finished run, by the name of the thread; null if the system does not report it. */
  readonly cpuUs: Readonly<Record<string, number>> | null
  /** Per finished run, for the contender's database server; 0 without one. */
  readonly helperCpuUs: number
  /** At the end; null if the system does not report it. */
  readonly residentMb: number | null
  /** Per finished run; null if the system does not report it. */
  readonly writtenBytes: number | null
  /** Growth of the contender's file per finished run; null without a file. */
  readonly fileBytes: number | null
}

export interface RoundRequest extends Omit<LoadRequest, 'url'> {
  /** Jobs that stay in the server and cannot run. */
  readonly leftOver?: number
}

const msPerSecond = 1_000

/** @throws Error if a request or a job failed, or accepted work was not finished */
export async function measureRound(
  contender: Contender,
  server: Server,
  generator: Generator,
  { leftOver = 0, ...request }: RoundRequest,
): Promise<Round> {
  const statsBefore = await server.drained(leftOver)
  // Listed each time, because a database server may have a process for each connection.
  const helpers = (): number[] => (contender.helper === undefined ? [] : descendantsNamed(contender.helper))
  const cpuBefore = await readCpuTimes(server.pid)
  const helperBefore = await readCpuTimes(...helpers())
  const writtenBefore = writtenBytes(server.pid)
  const sizeOf = (): number | null => (contender.file === undefined ? null : statSync(contender.file).size)
  const sizeBefore = sizeOf()
  const startedAt = performance.now()
  const load = await generator.run({ ...request, url: `${server.url}/run-tasks` })
  const loadedAt = performance.now()
  const after = await server.drained(leftOver)
  const finishedAt = performance.now()
  const cpuAfter = await readCpuTimes(server.pid)
  const helperAfter = await readCpuTimes(...helpers())

  const runs = finishedJobs(contender.name, statsBefore, after, load.failed) / contender.jobsPerRun
  // Requests in flight when the load ended are accepted and finished too, although the generator did not count them.
  if (runs < load.ok) throw new Error(`${contender.name}: ${load.ok} answered, ${runs} finished`)
  const seconds = (finishedAt - startedAt) / msPerSecond
  const perRunSince = (before: number | null, now: number | null): number | null =>
    before === null || now === null ? null : (now - before) / runs
  const perRun = Object.entries(spentUs(cpuBefore, cpuAfter)).map(([thread, us]) => [thread, us / runs])
  return {
    ...load,
    runs,
    seconds,
    runsPerSecond: runs / seconds,
    drainSeconds: (finishedAt - loadedAt) / msPerSecond,
    cpuUs: cpuAfter === null ? null : Object.fromEntries(perRun),
    helperCpuUs: sumOf(spentUs(helperBefore, helperAfter)) / runs,
    residentMb: residentMb(server.pid),
    writtenBytes: perRunSince(writtenBefore, writtenBytes(server.pid)),
    fileBytes: perRunSince(sizeBefore, sizeOf()),
  }
}

/**
 * Counts the jobs finished in between, which equals the jobs accepted.
 * @throws Error if a request or a job failed, or accepted work was not finished
 */
export function finishedJobs(name: string, before: Stats, after: Stats, failedRequests: number): number {
  const accepted = after.conservation.accepted - before.conservation.accepted
  const finished = after.conservation.final - before.conservation.final
  const failedJobs = (after.jobs?.failed ?? 0) - (before.jobs?.failed ?? 0)
  const wrong = [
    failedRequests > 0 && `${failedRequests} requests failed`,
    failedJobs > 0 && `${failedJobs} jobs failed`,
    after.conservation.lost !== 0 && `${after.conservation.lost} jobs were lost`,
    accepted !== finished && `${accepted} jobs accepted, ${finished} finished`,
  ].filter((problem) => problem !== false)
  if (wrong.length > 0) throw new Error(`${name}: ${wrong.join('; ')}`)
  return finished
}
