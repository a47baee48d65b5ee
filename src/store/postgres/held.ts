/** Which claims this process was given and has not settled: what the database says it owns is held against this. */
import type { Claim } from '../../domain/claim.ts'
import { nameOf, type JobKey } from './unit.ts'

export interface Held {
  give(claim: Claim): void
  /** Settled, or void: whoever ran it has said its last word. */
  take(claim: Claim): void
  has(claim: Claim): boolean
  /** Those that are not told to be void yet, of jobs that are not among these; from now on they are. */
  voidAllBut(owned: readonly JobKey[]): Claim[]
  /** Whether it is held and not known to be void; from now on it is. */
  void(claim: Claim): boolean
}

export function createHeld(): Held {
  const claims = new Map<string, { readonly claim: Claim; isVoid: boolean }>()
  const keyOf = ({ runId, jobIndex }: JobKey): string => nameOf(runId, jobIndex)

  return {
    give: ({ runId, jobIndex, claim }) => {
      claims.set(keyOf({ runId, jobIndex }), { claim: { runId, jobIndex, claim }, isVoid: false })
    },
    take(claim) {
      if (claims.get(keyOf(claim))?.claim.claim === claim.claim) claims.delete(keyOf(claim))
    },
    has: (claim) => claims.get(keyOf(claim))?.claim.claim === claim.claim,
    voidAllBut(owned) {
      const names = new Set(owned.map(keyOf))
      const lost = [...claims].filter(([name, { isVoid }]) => !isVoid && !names.has(name)).map(([, entry]) => entry)
      for (const entry of lost) entry.isVoid = true
      return lost.map(({ claim }) => claim)
    },
    void(claim) {
      const entry = claims.get(keyOf(claim))
      if (entry?.claim.claim !== claim.claim || entry.isVoid) return false
      entry.isVoid = true
      return true
    },
  }
}
