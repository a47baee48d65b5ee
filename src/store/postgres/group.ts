/**
 * One transaction that does what a group of operations asks for: keys and runs are written, jobs locked, due ones
 * claimed, runs locked, and then everything that became of them is written and told, in three trips to the server.
 */
import type { ClaimedJob } from '../../domain/claim.ts'
import { firstClaimOf, insertRuns, type Acceptance } from './accept.ts'
import { claim, type Taken } from './claim.ts'
import type { Query } from './connection.ts'
import { countJob, countRun, type Counts } from './counts.ts'
import { claimKeys, type KnownReport } from './keys.ts'
import { lockJobs, lockRuns } from './lock.ts'
import { endedBy, isMoving, runMoving, targetsOf, type Operation } from './operations.ts'
import type { Prepared } from './transaction.ts'
import { createUnit, type Unit } from './unit.ts'
import { fence } from './write.ts'

const nothing: ReadonlyMap<string, KnownReport> = new Map()

/** Everything but the last writing. @param beginning the transaction's beginning, which is on its way */
export async function prepareGroup(
  query: Query,
  operations: readonly Operation[],
  owner: string,
  beginning: Promise<unknown>,
): Promise<Prepared> {
  const acceptances = operations.flatMap(({ verb, args }): Acceptance[] =>
    verb === 'accept' ? [{ run: args[0], at: args[1] }] : [],
  )
  const hasKeys = acceptances.some(({ run }) => run.idempotency !== null)
  const [known] = hasKeys ? await Promise.all([claimKeys(query, acceptances), beginning]) : [nothing]
  const fresh = acceptances.filter(({ run }) => !known.has(run.id))
  const [jobs, taken] = await Promise.all([
    lockJobs(query, operations.filter(isMoving).map(targetsOf)),
    // Written before it is asked what is due: a claim beside it finds the new jobs.
    acceptAndClaim(query, fresh, operations, owner),
    beginning,
  ])
  const claimed = taken.flatMap(({ jobs: ofOne }) => ofOne)
  const runIds = [...new Set([...jobs.map((job) => job.run_id), ...claimed.map(({ runId }) => runId)])]
  const writes = fresh.length + runIds.length > 0
  const [runs] = await Promise.all([lockRuns(query, runIds), writes ? fence(query, owner) : null])
  const unit = createUnit(jobs, runs)
  for (const { run } of fresh) countAccepted(unit.counts, run.jobs.length, run.claimsFirst)
  noteClaims(unit, taken)
  const values = valuesOf(unit, operations, known, taken)
  const given: ClaimedJob[] = [...fresh.flatMap(({ run }) => firstClaimOf(run) ?? []), ...claimed]
  const due = fresh.flatMap(({ run }) => run.jobs.filter(({ delayMs }) => delayMs <= 0)).length
  return { unit, values, given, writes, leavesWork: unit.hasQueued() || due > given.length }
}

function acceptAndClaim(
  query: Query,
  fresh: readonly Acceptance[],
  operations: readonly Operation[],
  owner: string,
): Promise<Taken[]> {
  const accepting = fresh.length === 0 ? null : insertRuns(query, fresh, owner)
  const claiming = claimInTurn(query, operations, owner)
  return Promise.all([claiming, accepting]).then(([taken]) => taken)
}

/** One claim after the other: what the first one takes, the second does not see any more. */
async function claimInTurn(query: Query, operations: readonly Operation[], owner: string): Promise<Taken[]> {
  const except = operations.filter(isMoving).flatMap(endedBy)
  const taken: Taken[] = []
  for (const { verb, args } of operations) {
    if (verb === 'claim') taken.push(await claim({ query, owner, except }, args[0]))
  }
  return taken
}

function valuesOf(
  unit: Unit,
  operations: readonly Operation[],
  known: ReadonlyMap<string, KnownReport>,
  taken: readonly Taken[],
): unknown[] {
  let claims = 0
  return operations.map((operation) => {
    if (operation.verb === 'accept') {
      const [run] = operation.args
      return known.get(run.id) ?? { result: 'accepted', first: firstClaimOf(run) }
    }
    if (operation.verb !== 'claim') return runMoving(unit, operation)
    const { jobs, nextDueAt } = taken[claims] ?? { jobs: [], nextDueAt: null }
    claims += 1
    return { jobs, nextDueAt }
  })
}

function countAccepted(counts: Counts, jobs: number, claimsFirst: boolean): void {
  countRun(counts, null, 'running')
  for (let index = 0; index < jobs; index += 1) {
    countJob(counts, null, index === 0 && claimsFirst ? 'running' : 'queued')
  }
}

function noteClaims(unit: Unit, taken: readonly Taken[]): void {
  const runs = new Set<string>()
  for (const { jobs, waitedAs } of taken) {
    for (const [index, { runId }] of jobs.entries()) {
      countJob(unit.counts, waitedAs[index] ?? 'queued', 'running')
      runs.add(runId)
    }
  }
  for (const runId of runs) unit.touch(runId)
}
