/**
 * When a suspect, a job for which one more lost start is the last, is claimed here: alone, so that what dies with it is not
 * blamed with it. It is begun where nothing else runs on the threads, or, when no process has been so idle for a while,
 * beside jobs that have never lost a start. Nothing is begun beside it for a while, and then no job that has lost one.
 */
import { isSuspect } from '../../../domain/run/transitions.ts'
import type { Held, HeldJob } from './held.ts'

/**
 * `none`: nothing is to be claimed; `unlost`: only jobs that have never lost a start; `unsuspicious`: all but suspects;
 * `suspect`: a suspect, and where there is none, as `unsuspicious`.
 */
export type Claimable = 'none' | 'unlost' | 'unsuspicious' | 'suspect'

export interface Containment {
  claimable(): Claimable
  /** @param waits whether suspects are due, as the database says */
  look(waits: boolean): void
}

/** @param aloneMs how long a suspect waits for an idle process, and how long it is left alone */
export function createContainment(held: Pick<Held, 'onThreads' | 'lostOnThreads'>, aloneMs: number): Containment {
  let waitsSince: number | null = null

  return {
    claimable() {
      const now = performance.now()
      const lost = held.lostOnThreads()
      const suspect = lost.find(isOfSuspect)
      if (suspect !== undefined) return now - suspect.givenAt < aloneMs ? 'none' : 'unlost'
      if (waitsSince === null) return 'unsuspicious'
      const isOverdue = now - waitsSince >= aloneMs
      return held.onThreads() === 0 || (isOverdue && lost.length === 0) ? 'suspect' : 'unsuspicious'
    },
    look(waits) {
      waitsSince = waits ? (waitsSince ?? performance.now()) : null
    },
  }
}

function isOfSuspect({ job }: HeldJob): boolean {
  return isSuspect(job)
}
