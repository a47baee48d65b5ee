/** Which claims have come to their end, and which did so in a commit that its caller was told may have failed. */
import type { Claim } from '../../domain/claim.ts'
import type { Held } from './held.ts'
import type { Operation } from './operations.ts'

export interface Settlements {
  /** These have ended well: settled or stale, the claims that they name are over. */
  note(operations: readonly Operation[]): void
  /** These took place after all; whoever asked for them does so again. */
  noteLate(operations: readonly Operation[], values: readonly unknown[]): void
  /** Whether the claim was settled in such a commit; true once. */
  wasLate(claim: Claim): boolean
}

export function createSettlements(held: Held): Settlements {
  const late = new Set<string>()

  return {
    note(operations) {
      for (const claim of operations.flatMap(claimOf)) held.take(claim)
    },
    noteLate(operations, values) {
      for (const [index, operation] of operations.entries()) {
        for (const claim of claimOf(operation)) if (values[index] === 'settled') late.add(keyOf(claim))
      }
    },
    wasLate: (claim) => late.delete(keyOf(claim)),
  }
}

function claimOf({ verb, args }: Operation): Claim[] {
  return verb === 'complete' || verb === 'fail' || verb === 'release' ? [args[0]] : []
}

function keyOf({ runId, jobIndex, claim }: Claim): string {
  return `${runId}/${jobIndex}/${claim}`
}
