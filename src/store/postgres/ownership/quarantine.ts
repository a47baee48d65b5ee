/**
 * Keeps suspects alone, jobs for which one more lost start is the last: other jobs that die with one would be blamed, too.
 * A suspect is claimed when no job is on the threads of this process; where no process has been idle for a while, also when
 * only jobs are there that have never lost a start. Then nothing is claimed for a while, and after that, until the suspect
 * ends, no job that has lost a start.
 */
import { isSuspect } from '../../../domain/run/transitions.ts'
import type { OwnedClaims, OwnedClaim } from './owned-claims.ts'

/**
 * `none`: nothing is to be claimed; `unlost`: only jobs that have never lost a start; `unsuspicious`: all but suspects;
 * `suspect`: a suspect, and where there is none, as `unsuspicious`.
 */
export type Claimable = 'none' | 'unlost' | 'unsuspicious' | 'suspect'

export interface Quarantine {
  claimable(): Claimable
  /** @param waits whether suspects are due, as the database says */
  look(waits: boolean): void
}

/** @param aloneMs how long a suspect waits for an idle process, and how long it is left alone */
export function createQuarantine(owned: Pick<OwnedClaims, 'onThreads' | 'lostOnThreads'>, aloneMs: number): Quarantine {
  let waitsSince: number | null = null

  return {
    claimable() {
      const now = performance.now()
      const lost = owned.lostOnThreads()
      const suspect = lost.find(isOfSuspect)
      if (suspect !== undefined) return now - suspect.givenAt < aloneMs ? 'none' : 'unlost'
      if (waitsSince === null) return 'unsuspicious'
      const isOverdue = now - waitsSince >= aloneMs
      return owned.onThreads() === 0 || (isOverdue && lost.length === 0) ? 'suspect' : 'unsuspicious'
    },
    look(waits) {
      waitsSince = waits ? (waitsSince ?? performance.now()) : null
    },
  }
}

function isOfSuspect({ job }: OwnedClaim): boolean {
  return isSuspect(job)
}
