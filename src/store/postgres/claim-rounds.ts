/** A claim as the store's verb has it: as many rounds as it takes to fill the slots within the limits of the tasks. */
import type { ClaimRequest, ClaimResult } from '../store.ts'
import { earliest, type Claimed } from './admissions.ts'
import type { Lane } from './lane.ts'
import type { Admission } from './operations.ts'
import { transact } from './prepared.ts'
import { prepareSuspect } from './suspects.ts'

/** @throws AppError */
export async function claimInRounds(intake: Lane<Admission>, request: ClaimRequest): Promise<ClaimResult> {
  if (request.only === 'suspects') return (await intake.askAlone(transact(prepareSuspect(request)))) as ClaimResult
  const { rest, ...claimed } = (await intake.ask({ verb: 'claim', args: [request] })) as Claimed
  if (rest === null) return claimed
  // What is claimed is ours whatever becomes of the next round, and there will be others.
  const more = await claimInRounds(intake, rest).catch(() => ({ jobs: [], nextDueAt: null }))
  return { jobs: [...claimed.jobs, ...more.jobs], nextDueAt: earliest([claimed.nextDueAt, more.nextDueAt]) }
}
