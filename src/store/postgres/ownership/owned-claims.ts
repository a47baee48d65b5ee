/**
 * Owned claims: those that have not ended as far as this process knows. `compareClaims` compares them with the held ones, those
 * in the database, and the quarantine decides by them whether a suspect can run alone.
 */
import { type Claim, type ClaimedJob, claimOf, jobKey } from '../../../domain/claim.ts'
import { isSuspect } from '../../../domain/run/transitions.ts'

export type OwnedClaims = ReturnType<typeof createOwnedClaims>

export interface OwnedClaim {
  readonly job: ClaimedJob
  /** On the clock of `performance.now()`. */
  readonly claimedAt: number
  isVoid: boolean
}

export function createOwnedClaims() {
  const entries = new Map<string, OwnedClaim>()
  const withLostStart = new Map<string, OwnedClaim>()
  let onThreads = 0

  function removeKey(key: string): void {
    const entry = entries.get(key)
    if (entry === undefined) return
    entries.delete(key)
    withLostStart.delete(key)
    onThreads -= Number(isOnThread(entry.job))
  }

  return {
    add(job: ClaimedJob): void {
      const key = jobKey(job)
      removeKey(key)
      const entry = { job, claimedAt: performance.now(), isVoid: false }
      entries.set(key, entry)
      if (!isOnThread(job)) return
      onThreads += 1
      if (job.lostStarts > 0) withLostStart.set(key, entry)
    },
    /** Call when the claim is settled, or is void and its attempt has ended. */
    remove(claim: Claim): void {
      const key = jobKey(claim)
      if (entries.get(key)?.job.claim === claim.claim) removeKey(key)
    },
    has: (claim: Claim): boolean => entries.get(jobKey(claim))?.job.claim === claim.claim,
    /** The claims that are not marked void. */
    claims: (): Claim[] => [...entries.values()].filter(({ isVoid }) => !isVoid).map(({ job }) => claimOf(job)),
    /** Marks the claim void. @returns whether it was owned and not yet void */
    markVoid(claim: Claim): boolean {
      const entry = entries.get(jobKey(claim))
      if (entry?.job.claim !== claim.claim || entry.isVoid) return false
      entry.isVoid = true
      return true
    },
    /** Number of claimed jobs on threads of the pool. */
    onThreads: (): number => onThreads,
    /** The claims of jobs on threads that have lost a start. */
    withLostStart: (): readonly OwnedClaim[] => [...withLostStart.values()],
  }
}

function isOnThread({ thread }: ClaimedJob): boolean {
  return thread !== 'main'
}

/**
 * The jobs that may be claimed. `none`: no job; `no-lost-start`: jobs that have never lost a start; `unsuspicious`: all jobs
 * but suspects; `suspect`: a suspect, or if none is due, all other jobs.
 */
type Claimable = 'none' | 'no-lost-start' | 'unsuspicious' | 'suspect'

/**
 * Runs suspects alone: a job that is lost together with a suspect would be blamed, too. A suspect is claimed when no job
 * is on this process's threads; after `aloneMs`, also when all jobs there have never lost a start. While it runs, no other job
 * is claimed for `aloneMs`, and after that only jobs that have never lost a start.
 * @param aloneMs how long a suspect waits for idle threads, and for how long it then runs alone
 */
export function createQuarantine(owned: OwnedClaims, aloneMs: number) {
  let waitsSince: number | null = null

  return {
    claimable(): Claimable {
      const now = performance.now()
      const withLostStart = owned.withLostStart()
      const suspect = withLostStart.find(({ job }) => isSuspect(job))
      if (suspect !== undefined) return now - suspect.claimedAt < aloneMs ? 'none' : 'no-lost-start'
      if (waitsSince === null) return 'unsuspicious'
      const isOverdue = now - waitsSince >= aloneMs
      return owned.onThreads() === 0 || (isOverdue && withLostStart.length === 0) ? 'suspect' : 'unsuspicious'
    },
    /** Call with each read of the queue. */
    noteSuspects(areDue: boolean): void {
      waitsSince = areDue ? (waitsSince ?? performance.now()) : null
    },
  }
}
