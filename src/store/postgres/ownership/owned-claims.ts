/**
 * Claims of this process that are not settled: `reclaim` compares them with the claims in the database, and the quarantine
 * decides from them whether a suspect can run alone.
 */
import { type Claim, type ClaimedJob, claimOf, jobKey } from '../../../domain/claim.ts'
import { isSuspect } from '../../../domain/run/transitions.ts'

export type OwnedClaims = ReturnType<typeof createOwnedClaims>

interface OwnedClaim {
  readonly job: ClaimedJob
  /** On the clock of `performance.now()`. */
  readonly givenAt: number
  isVoid: boolean
}

export function createOwnedClaims() {
  const entries = new Map<string, OwnedClaim>()
  const withLostStart = new Map<string, OwnedClaim>()
  let onThreads = 0

  function remove(key: string): void {
    const entry = entries.get(key)
    if (entry === undefined) return
    entries.delete(key)
    withLostStart.delete(key)
    onThreads -= Number(isOnThread(entry.job))
  }

  return {
    give(job: ClaimedJob): void {
      const key = jobKey(job)
      remove(key)
      const entry = { job, givenAt: performance.now(), isVoid: false }
      entries.set(key, entry)
      if (!isOnThread(job)) return
      onThreads += 1
      if (job.lostStarts > 0) withLostStart.set(key, entry)
    },
    /** The claim is settled or void, and its attempt has ended. */
    take(claim: Claim): void {
      const key = jobKey(claim)
      if (entries.get(key)?.job.claim === claim.claim) remove(key)
    },
    has: (claim: Claim): boolean => entries.get(jobKey(claim))?.job.claim === claim.claim,
    /** All claims that are not marked void. */
    claims: (): Claim[] => [...entries.values()].filter(({ isVoid }) => !isVoid).map(({ job }) => claimOf(job)),
    /** Marks the claim void; returns whether it was owned and not yet void. */
    void(claim: Claim): boolean {
      const entry = entries.get(jobKey(claim))
      if (entry?.job.claim !== claim.claim || entry.isVoid) return false
      entry.isVoid = true
      return true
    },
    /** How many of the jobs run on threads of the pool. */
    onThreads: (): number => onThreads,
    /** Those of them that have lost a start. */
    withLostStart: (): readonly OwnedClaim[] => [...withLostStart.values()],
  }
}

function isOnThread({ thread }: ClaimedJob): boolean {
  return thread !== 'main'
}

/**
 * `none`: nothing is to be claimed; `no-lost-start`: only jobs that have never lost a start; `unsuspicious`: all but suspects;
 * `suspect`: a suspect, and where there is none, as `unsuspicious`.
 */
type Claimable = 'none' | 'no-lost-start' | 'unsuspicious' | 'suspect'

/**
 * Runs suspects alone. A suspect is a job that fails when it loses one more start; a job that dies beside it would be
 * blamed too. A suspect is claimed when no job is on this process's threads. If no process has been idle for a while,
 * a suspect is also claimed beside jobs that have never lost a start. For a while nothing else is claimed then; later,
 * until the suspect ends, no job that has lost a start.
 * @param aloneMs how long a suspect waits for an idle process, and how long it is left alone
 */
export function createQuarantine(owned: OwnedClaims, aloneMs: number) {
  let waitsSince: number | null = null

  return {
    claimable(): Claimable {
      const now = performance.now()
      const withLostStart = owned.withLostStart()
      const suspect = withLostStart.find(({ job }) => isSuspect(job))
      if (suspect !== undefined) return now - suspect.givenAt < aloneMs ? 'none' : 'no-lost-start'
      if (waitsSince === null) return 'unsuspicious'
      const isOverdue = now - waitsSince >= aloneMs
      return owned.onThreads() === 0 || (isOverdue && withLostStart.length === 0) ? 'suspect' : 'unsuspicious'
    },
    /** @param waits whether suspects are due, as the database says */
    look(waits: boolean): void {
      waitsSince = waits ? (waitsSince ?? performance.now()) : null
    },
  }
}

export type Quarantine = ReturnType<typeof createQuarantine>
