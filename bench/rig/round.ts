/** One measurement of one contender: load, then the wait until everything that was accepted is finished. */
import { statSync } from 'node:fs'
import type { Contender } from '../contenders/contenders.ts'
import { readCpuTimes, spentUs, sumOf } from './cpu-time.ts'
import type { Generator, LoadReport, LoadRequest } from './load.ts'
import { descendantsNamed, residentMb, writtenBytes } from './processes.ts'
import type { Server, Stats } from './server.ts'

export interface Round extends LoadReport {
  readonly runs: number
  /** From the first request until the last job of the last run was finished. */
  readonly seconds: number
  readonly runsPerSecond: number
  /** How long of it the load was over and jobs were still to do. */
  readonly drainSeconds: number
  /** Per finished run, by the name of the thread; null where the system does not tell. */
  readonly cpuUs: Readonly<Record<string, number>> | null
  /** Per finished run, of the database server that works for the contender; 0 without one. */
  readonly helperCpuUs: number
  /** At its end; null where the system does not tell. */
  readonly residentMb: number | null
  /** Per finished run; null where the system does not tell. */
  readonly writtenBytes: number | null
  /** By which the contender's file has grown, per finished run; null without one. */
  readonly fileBytes: number | null
}

export interface RoundRequest extends Omit<LoadRequest, 'url'> {
  /** Jobs that wait in the server all the time and cannot run. */
  readonly leftOver?: number
}

const msPerSecond = 1_000

/** @throws Error when a request failed, a job failed, or what was accepted was not finished */
export async function measureRound(
  contender: Contender,
  server: Server,
  generator: Generator,
  { leftOver = 0, ...request }: RoundRequest,
): Promise<Round> {
  const statsBefore = await server.drained(leftOver)
  // Looked for each time: a database server can have a process for each connection, and connections come and go.
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
  // What was on its way when the load ended is accepted and finished too, and nobody heard of it.
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
 * How many jobs were finished in between, which is how many were accepted.
 * @throws Error when a request failed, a job failed, or what was accepted was not finished
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
