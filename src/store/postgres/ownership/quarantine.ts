/**
 * Runs suspects alone. A suspect is a job that fails when it loses one more start; a job that dies beside it would be
 * blamed too. A suspect is claimed when no job is on this process's threads. If no process has been idle for a while,
 * a suspect is also claimed beside jobs that have never lost a start. For a while nothing else is claimed then; later,
 * until the suspect ends, no job that has lost a start.
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
