/**
 * Commits what comes in: runs are written, and jobs claimed for free slots, those of the same runs as they are born where
 * nothing waits that would go before them. Where there are keys, they are claimed first.
 */
import type { ClaimedJob } from '../../domain/claim.ts'
import { AppError } from '../../domain/errors.ts'
import type { RunChange } from '../../domain/run.ts'
import { bornClaim, insertRuns, isClaimedLater, newbornsOf, type Acceptance, type NewbornJob } from './accept.ts'
import { giveSlots, type Given } from './births.ts'
import { claimJobs, type DueRequest, type Taken } from './claim.ts'
import type { Query } from './connection.ts'
import { claimKeys, type KnownReport } from './keys.ts'
import type { Admission } from './operations.ts'
import { begin, end, takeBack } from './prepared.ts'
import { committed, fence, nothingDone, type Commit, type Outcome, type Sender } from './transaction.ts'
import type { ClaimResult } from '../store.ts'
import type { Waiting } from './waiting.ts'

/** What a claim returns, and what is left to ask for. */
export interface Claimed extends ClaimResult {
  readonly rest: DueRequest | null
}

/** What is decided before anything is on its way. */
interface Plan {
  readonly operations: readonly Admission[]
  readonly known: ReadonlyMap<string, KnownReport>
  readonly fresh: readonly Acceptance[]
  readonly newborns: readonly NewbornJob[]
  /** null where nobody asks for jobs. */
  readonly given: Given | null
}

/** One claim at the most. */
export function createAdmissions(waiting: Waiting): Commit<readonly Admission[]> {
  function plan(operations: readonly Admission[], known: Plan['known']): Plan {
    const fresh = acceptancesOf(operations).filter(({ run }) => !known.has(run.id))
    const newborns = fresh.flatMap(newbornsOf)
    const [request] = operations.flatMap(({ verb, args }) => (verb === 'claim' ? [args[0]] : []))
    const given = request === undefined ? null : giveSlots(request, newborns, waiting)
    const left = newborns.filter(({ thread }) => thread === null)
    waiting.forget([...new Set(left.map(({ kind }) => kind))])
    return { operations, known, fresh, newborns, given }
  }

  /** @param isBegun the transaction; else it is begun here where it takes more than one statement */
  async function commit(query: Query, sender: Sender, planned: Plan, isBegun: boolean): Promise<Outcome> {
    const { fresh, newborns, given } = planned
    const rest = given?.rest ?? null
    const isLong = isBegun || (fresh.length > 0 && rest !== null)
    const sent: Promise<unknown>[] = isLong && !isBegun ? [query(begin)] : []
    let behind = sender
    if (fresh.length > 0) {
      sent.push(insertRuns(query, sender, fresh, newborns))
      behind = { ...sender, commits: sender.number, live: sender.live + newborns.length }
    }
    const note = waiting.look()
    const taking = rest === null ? null : claimJobs(query, behind, rest)
    if (taking !== null) sent.push(taking)
    if (isLong) sent.push(query(end))
    const find = async (): Promise<Outcome> => {
      return { ...outcomeOf(planned, rest === null ? 'nothing' : 'unknown', behind), commits: sender.number }
    }
    await committed(Promise.all(sent), sender, find)
    const taken = await taking
    // What has lost a start and was passed over waits still.
    if (taken !== null && rest?.lost === true) for (const [kind, at] of taken.nextDueAt) note(kind, at, taken.atLimit)
    return outcomeOf(planned, taken ?? 'nothing', behind)
  }

  return async (connection, sender, operations) => {
    const { query, together } = connection
    const acceptances = acceptancesOf(operations)
    if (acceptances.every(({ run }) => run.idempotency === null)) {
      return commit(query, sender, plan(operations, new Map()), false)
    }
    try {
      const [, , known] = await Promise.all([query(begin), fence(query, sender), claimKeys(query, acceptances)])
      return await together(() => commit(query, sender, plan(operations, known), true))
    } catch (error) {
      if (connection.isOpen()) await query(takeBack).catch(() => {})
      throw error
    }
  }
}

/** @param taken from the database: `unknown` where nobody can tell any more */
function outcomeOf(planned: Plan, taken: Taken | 'nothing' | 'unknown', sender: Sender): Outcome {
  const { operations, known, newborns, given } = planned
  const born = newborns.filter(({ thread }) => thread !== null).map((job) => ({ job, claim: bornClaim(job) }))
  const firsts = new Map(born.filter(({ job }) => !isClaimedLater(job)).map(({ claim }) => [claim.runId, claim]))
  const found = typeof taken === 'string' ? null : taken
  const claimed = [...(given?.jobs ?? []).map(bornClaim), ...(found?.jobs ?? [])]
  const values = operations.map(({ verb, args }) => {
    if (verb === 'accept') return known.get(args[0].id) ?? { result: 'accepted', first: firsts.get(args[0].id) ?? null }
    if (taken === 'unknown') return new AppError('store-unavailable', 'it is not known which jobs were claimed')
    const nextDueAt = earliest([given?.nextDueAt, ...(found?.nextDueAt.values() ?? [])])
    return { jobs: claimed, nextDueAt, rest: found?.rest ?? null } satisfies Claimed
  })
  const touched = new Set(newborns.filter(isClaimedLater).map(({ runId }) => runId))
  const changes = new Map([...touched].map((runId) => [runId, bornChange(runId)]))
  for (const change of found?.changes ?? []) changes.set(change.runId, change)
  return {
    ...nothingDone,
    values,
    given: [...firsts.values(), ...claimed],
    changes: [...changes.values()],
    commits: found !== null && found.jobs.length > 0 ? sender.number : sender.commits,
    live: sender.live,
    leaves: leftBy(newborns, found?.jobs ?? []),
    hasOrphans: taken === 'unknown',
  }
}

function leftBy(newborns: readonly NewbornJob[], taken: readonly ClaimedJob[]): Outcome['leaves'] {
  const gone = new Set(taken.map(({ runId, jobIndex }) => `${runId}/${jobIndex}`))
  const left = newborns.filter(({ thread, runId, index }) => thread === null && !gone.has(`${runId}/${index}`))
  if (left.some(({ delayMs }) => delayMs <= 0)) return 'due'
  return left.length > 0 ? 'later' : 'none'
}

function bornChange(runId: string): RunChange {
  return { runId, version: 2, state: 'running', isAnswered: false, voided: [] }
}

export function earliest(instants: readonly (number | null | undefined)[]): number | null {
  const known = instants.filter((at) => typeof at === 'number')
  return known.length === 0 ? null : Math.min(...known)
}

function acceptancesOf(operations: readonly Admission[]): Acceptance[] {
  return operations.flatMap(({ verb, args }) => (verb === 'accept' ? [{ run: args[0], at: args[1] }] : []))
}
