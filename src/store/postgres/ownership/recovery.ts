/**
 * Recovery. The table `holder` lists the runs that each process holds: it runs jobs of them. `rescue` takes back
 * the jobs of dead processes, `compareClaims` finds orphans and missing claims of this process, and `leave` marks its jobs
 * when it stops. Each is a transaction of its own, which locks records by id.
 */
import { type Claim, claimOf } from '../../../domain/claim.ts'
import { jobAt, type Run } from '../../../domain/run/aggregate.ts'
import {
  boundDueTimes,
  expireJobs,
  noteLeaving,
  ownsClaim,
  releaseJob,
  rescueJobs,
} from '../../../domain/run/transitions.ts'
import type { RescueReport } from '../../store.ts'
import type { Query } from '../connection/connection.ts'
import { lockRuns, type RecordDecoder, selectRuns } from '../statements/records.ts'
import { noProcess } from '../statements/totals.ts'
import { withLookup, type Operation } from '../writing/operations.ts'
import type { UnitOfWork } from '../writing/unit-of-work.ts'
import { isAbandoned } from './lease.ts'
import type { OwnedClaims } from './owned-claims.ts'

const selectDead = {
  name: 'select-dead',
  text: `SELECT DISTINCT process FROM holder WHERE process <> $1 AND ${isAbandoned('$2')}`,
}
const selectHeld = {
  name: 'select-held',
  text: 'SELECT DISTINCT run FROM holder WHERE process = ANY($1::integer[])',
}

/** The runs that one of these processes holds. */
async function runsHeldBy(query: Query, processes: readonly number[]): Promise<string[]> {
  return (await query(selectHeld, [processes])).map(({ run }) => String(run))
}

/**
 * Takes back the jobs of dead processes. Replies how many wait again, and how many failed.
 * @param silent heartbeats of dead processes; a process without a lease is dead, too
 */
export function rescue(processId: number, decoder: RecordDecoder, silent: readonly string[], at: number): Operation {
  return withLookup('rescue', async (query) => {
    const dead = new Set((await query(selectDead, [processId, silent])).map((row) => Number(row['process'])))
    const runIds = dead.size === 0 ? [] : await runsHeldBy(query, [...dead])
    const records = runIds.length === 0 ? [] : decoder.decode(await lockRuns(query, runIds))
    return { records, apply: (unit) => rescueRuns(unit, dead, at) }
  })
}

function rescueRuns(unit: UnitOfWork, dead: ReadonlySet<number>, at: number): Omit<RescueReport, 'suspects'> {
  let [requeued, crashed] = [0, 0]
  for (const run of unit.loaded()) {
    const isHeldByDead = ({ jobIndex }: Pick<Claim, 'jobIndex'>): boolean =>
      dead.has(run.jobs[jobIndex]?.holder ?? noProcess)
    const rescued = rescueJobs(run, isHeldByDead, at)
    unit.save(rescued)
    for (const [jobIndex, { state }] of rescued.jobs.entries()) {
      if (jobAt(run, jobIndex).state !== 'running' || !isHeldByDead({ jobIndex })) continue
      requeued += Number(state === 'queued')
      crashed += Number(state === 'failed')
    }
  }
  return { requeued, crashed }
}

/**
 * Compares the claims in the database with those of this process. Hands back the jobs of orphans, the claims that only the
 * database has. Replies the missing claims, which only this process has.
 */
export function compareClaims(
  processId: number,
  decoder: RecordDecoder,
  owned: Pick<OwnedClaims, 'claims' | 'has'>,
  at: number,
): Operation {
  return withLookup('compareClaims', async (query) => {
    // Before the read, in which a later claim of this process would be missing.
    const ownClaims = owned.claims()
    const heldIds = await runsHeldBy(query, [processId])
    const read = decoder.decode(await selectRuns(query, heldIds))
    const stored = read.flatMap(({ run }) => claimsHeldBy(processId, run))
    const readIds = new Set(read.map(({ run }) => run.id))
    // Nothing is known about the claims of a run whose record cannot be read.
    const unreadIds = new Set(heldIds.filter((id) => !readIds.has(id)))
    const missing = missingClaims(ownClaims, stored).filter(({ runId }) => !unreadIds.has(runId))
    const orphans = stored.filter((claim) => !owned.has(claim))
    const runIds = [...new Set(orphans.map(({ runId }) => runId))]
    const records = runIds.length === 0 ? [] : decoder.decode(await lockRuns(query, runIds))
    const apply = (unit: UnitOfWork): readonly Claim[] => {
      for (const orphan of orphans) {
        const run = unit.find(orphan.runId)
        if (run === null || !ownsClaim(run, orphan)) continue
        if (jobAt(run, orphan.jobIndex).holder === processId) unit.save(releaseJob(run, orphan, at))
      }
      return missing
    }
    return { records, apply }
  })
}

/** Returns the claims of the first list that are not in the second. */
function missingClaims(own: readonly Claim[], stored: readonly Claim[]): Claim[] {
  const names = new Set(stored.map(claimName))
  return own.filter((claim) => !names.has(claimName(claim)))
}

/** Notes that this process was asked to leave: its jobs lose no start if it dies from now on. Replies how many jobs. */
export function leave(processId: number, decoder: RecordDecoder, at: number): Operation {
  return withLookup('leave', async (query) => {
    const records = decoder.decode(await lockRuns(query, await runsHeldBy(query, [processId])))
    const apply = (unit: UnitOfWork): number => {
      for (const run of unit.loaded()) {
        unit.save(noteLeaving(run, ({ jobIndex }) => run.jobs[jobIndex]?.holder === processId, at))
      }
      return records.flatMap(({ run }) => claimsHeldBy(processId, run)).length
    }
    return { records, apply }
  })
}

/** Moves waits that began in the future, so that a step of a clock makes no wait longer. */
export function boundWaits(runIds: readonly string[], decoder: RecordDecoder, at: number): Operation {
  return changing('bound', runIds, decoder, (run) => boundDueTimes(run, at))
}

/** Fails the expired jobs of the runs. Replies in how many runs. */
export function expireRuns(runIds: readonly string[], decoder: RecordDecoder, at: number): Operation {
  return changing('expire', runIds, decoder, (run) => expireJobs(run, at))
}

/** Changes each of the runs that can be read. Replies how many have changed. */
function changing(
  verb: string,
  runIds: readonly string[],
  decoder: RecordDecoder,
  change: (run: Run) => Run,
): Operation {
  const apply = (unit: UnitOfWork): number => {
    const changed = unit.loaded().map((run) => ({ run, after: change(run) }))
    for (const { after } of changed) unit.save(after)
    return changed.filter(({ run, after }) => after !== run).length
  }
  return withLookup(verb, async (query) => ({ records: decoder.decode(await lockRuns(query, runIds)), apply }))
}

function claimsHeldBy(processId: number, { id: runId, jobs }: Run): Claim[] {
  return jobs.flatMap(({ state, holder, claim }, jobIndex) =>
    state === 'running' && holder === processId ? [claimOf({ runId, jobIndex, claim })] : [],
  )
}

function claimName({ runId, jobIndex, claim }: Claim): string {
  return `${runId}/${jobIndex}/${claim}`
}
