/**
 * Recovery by the table `holder`, which lists the runs whose jobs each process runs. `rescue` takes back the jobs of dead
 * processes, `reclaim` hands back jobs that this process owns and does not run, `leave` marks its jobs when it stops.
 * Each is a transaction of its own, which locks records by id.
 */
import { claimOf, type Claim } from '../../../domain/claim.ts'
import type { Run } from '../../../domain/run/aggregate.ts'
import { boundDueTimes, expireJobs, noteLeaving, releaseJob, rescueJobs } from '../../../domain/run/transitions.ts'
import type { Query } from '../connection/connection.ts'
import { isAbandoned } from './lease.ts'
import type { OwnedClaims } from './owned-claims.ts'
import type { Operation } from '../writing/operations.ts'
import { type Readable, lockRuns, selectRuns } from '../statements/records.ts'

const selectDead = {
  name: 'select-dead',
  text: `SELECT DISTINCT process FROM holder WHERE process <> $1 AND ${isAbandoned('$2')}`,
}
const selectHeld = {
  name: 'select-held',
  text: 'SELECT DISTINCT run FROM holder WHERE process = ANY($1::integer[])',
}
const selectOwned = { name: 'select-owned', text: selectHeld.text }

/** Runs of which one of these processes runs jobs. */
async function runsHeldBy(query: Query, processes: readonly number[]): Promise<string[]> {
  return (await query(selectHeld, [processes])).map(({ run }) => String(run))
}

/**
 * Takes back the jobs of processes that are gone; replies how many wait again, and how many failed.
 * @param silent heartbeats of processes that are given up, like those without a lease
 */
export function rescue(process: number, readable: Readable, silent: readonly string[], at: number): Operation {
  let dead: ReadonlySet<number> = new Set()
  return {
    verb: 'rescue',
    runIds: [],
    look: () => async (query) => {
      dead = new Set((await query(selectDead, [process, silent])).map((row) => Number(row['process'])))
      if (dead.size === 0) return []
      return readable.decode(await lockRuns(query, await runsHeldBy(query, [...dead])))
    },
    apply(unit) {
      const report = { requeued: 0, crashed: 0 }
      for (const run of unit.loaded()) {
        const isHeldByDead = ({ jobIndex }: Claim): boolean => dead.has(run.jobs[jobIndex]?.holder ?? 0)
        const rescued = rescueJobs(run, isHeldByDead, at)
        unit.save(rescued)
        for (const [index, { state }] of rescued.jobs.entries()) {
          const before = run.jobs[index]
          if (before?.state !== 'running' || !dead.has(before.holder ?? 0)) continue
          if (state === 'queued') report.requeued += 1
          else if (state === 'failed') report.crashed += 1
        }
      }
      return report
    },
  }
}

/**
 * Hands back jobs that this process owns and does not run; replies the claims that it runs without owning their jobs.
 * The read says nothing about claims that are newer than it.
 */
export function reclaim(
  process: number,
  readable: Readable,
  owned: Pick<OwnedClaims, 'claims' | 'has'>,
  at: number,
): Operation {
  let unowned: Claim[] = []
  let orphans: Claim[] = []
  return {
    verb: 'reclaim',
    runIds: [],
    look: () => async (query) => {
      const before = owned.claims()
      const ids = (await query(selectOwned, [[process]])).map(({ run }) => String(run))
      const records = readable.decode(await selectRuns(query, ids))
      const recorded = records.flatMap(({ run }) => claimsHeldBy(process, run))
      const names = new Set(recorded.map(claimName))
      // Nothing is known of a run whose record cannot be read.
      const read = new Set(records.map(({ run }) => run.id))
      const unread = new Set(ids.filter((id) => !read.has(id)))
      unowned = before.filter((claim) => !names.has(claimName(claim)) && !unread.has(claim.runId))
      orphans = recorded.filter((claim) => !owned.has(claim))
      if (orphans.length === 0) return []
      return readable.decode(await lockRuns(query, [...new Set(orphans.map(({ runId }) => runId))]))
    },
    apply(unit) {
      for (const orphan of orphans) {
        const run = unit.find(orphan.runId)
        const isOwned =
          run !== null && claimsHeldBy(process, run).some((claim) => claimName(claim) === claimName(orphan))
        if (isOwned) unit.save(releaseJob(run, orphan, at))
      }
      return unowned
    },
  }
}

/** Notes that this process was asked to leave: if it dies from now on, its jobs lose no start. Replies how many jobs. */
export function leave(process: number, readable: Readable, at: number): Operation {
  return {
    verb: 'leave',
    runIds: [],
    look: () => async (query) => readable.decode(await lockRuns(query, await runsHeldBy(query, [process]))),
    apply(unit) {
      let count = 0
      for (const run of unit.loaded()) {
        count += claimsHeldBy(process, run).length
        unit.save(noteLeaving(run, ({ jobIndex }) => run.jobs[jobIndex]?.holder === process, at))
      }
      return count
    },
  }
}

/** Moves waits that began in the future, so that a step of a clock makes no wait longer. */
export function boundWaits(runIds: readonly string[], readable: Readable, at: number): Operation {
  return {
    verb: 'bound',
    runIds: [],
    look: () => async (query) => readable.decode(await lockRuns(query, runIds)),
    apply(unit) {
      for (const run of unit.loaded()) unit.save(boundDueTimes(run, at))
    },
  }
}

/** Fails the expired jobs of these runs; replies in how many runs. */
export function expireRuns(runIds: readonly string[], readable: Readable, at: number): Operation {
  return {
    verb: 'expire',
    runIds: [],
    look: () => async (query) => readable.decode(await lockRuns(query, runIds)),
    apply(unit) {
      let expired = 0
      for (const run of unit.loaded()) {
        const after = expireJobs(run, at)
        unit.save(after)
        expired += Number(after !== run)
      }
      return expired
    },
  }
}

function claimsHeldBy(process: number, { id: runId, jobs }: Run): Claim[] {
  return jobs.flatMap(({ state, holder, claim }, jobIndex) =>
    state === 'running' && holder === process ? [claimOf({ runId, jobIndex, claim })] : [],
  )
}

function claimName({ runId, jobIndex, claim }: Claim): string {
  return `${runId}/${jobIndex}/${claim}`
}
