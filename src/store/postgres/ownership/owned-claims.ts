/** Claims of this process that are not settled. `reclaim` compares them with the claims in the database. */
import { claimOf, jobKey, type Claim, type ClaimedJob } from '../../../domain/claim.ts'

export interface OwnedClaims {
  give(job: ClaimedJob): void
  /** The claim is settled or void, and its attempt has ended. */
  take(claim: Claim): void
  has(claim: Claim): boolean
  /** All claims that are not marked void. */
  claims(): Claim[]
  /** Marks the claim void; returns whether it was owned and not yet void. */
  void(claim: Claim): boolean
  /** How many of the jobs run on threads of the pool. */
  onThreads(): number
  /** Those of them that have lost a start. */
  lostOnThreads(): readonly OwnedClaim[]
}

export interface OwnedClaim {
  readonly job: ClaimedJob
  /** On the clock of `performance.now()`. */
  readonly givenAt: number
  isVoid: boolean
}

export function createOwnedClaims(): OwnedClaims {
  const entries = new Map<string, OwnedClaim>()
  const lost = new Map<string, OwnedClaim>()
  let onThreads = 0

  function remove(key: string): void {
    const entry = entries.get(key)
    if (entry === undefined) return
    entries.delete(key)
    lost.delete(key)
    onThreads -= Number(isOnThread(entry.job))
  }

  return {
    give(job) {
      const key = jobKey(job)
      remove(key)
      const entry = { job, givenAt: performance.now(), isVoid: false }
      entries.set(key, entry)
      if (!isOnThread(job)) return
      onThreads += 1
      if (job.lostStarts > 0) lost.set(key, entry)
    },
    take(claim) {
      const key = jobKey(claim)
      if (entries.get(key)?.job.claim === claim.claim) remove(key)
    },
    has: (claim) => entries.get(jobKey(claim))?.job.claim === claim.claim,
    claims: () => [...entries.values()].filter(({ isVoid }) => !isVoid).map(({ job }) => claimOf(job)),
    void(claim) {
      const entry = entries.get(jobKey(claim))
      if (entry?.job.claim !== claim.claim || entry.isVoid) return false
      entry.isVoid = true
      return true
    },
    onThreads: () => onThreads,
    lostOnThreads: () => [...lost.values()],
  }
}

function isOnThread({ thread }: ClaimedJob): boolean {
  return thread !== 'main'
}
