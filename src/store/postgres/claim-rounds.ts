/** A claim as the store's verb has it: a suspect where it is its turn, else as many rounds as it takes to fill the slots. */
import type { ClaimRequest, ClaimResult } from '../store.ts'
import { earliest, type Claimed } from './admissions.ts'
import type { DueRequest } from './claim.ts'
import type { Containment } from './containment.ts'
import type { Lane } from './lane.ts'
import type { Admission } from './operations.ts'
import { transact } from './prepared.ts'
import { prepareSuspect } from './suspects.ts'

type Intake = Lane<Admission>

/** @param tasks that run here; null: any. @throws AppError */
export async function claimJobsOf(
  intake: Intake,
  containment: Containment,
  tasks: readonly string[] | null,
  request: ClaimRequest,
): Promise<ClaimResult> {
  if (request.only === 'suspects') return claimSuspect(intake, tasks, request)
  const claimable = containment.claimable()
  if (claimable === 'none') return { jobs: [], nextDueAt: null }
  if (claimable === 'suspect') {
    const claimed = await claimSuspect(intake, tasks, request)
    if (claimed.jobs.length > 0) return claimed
    containment.look(false)
  }
  return claimInRounds(intake, { ...request, tasks, lost: claimable !== 'unlost' })
}

async function claimSuspect(
  intake: Intake,
  tasks: readonly string[] | null,
  request: ClaimRequest,
): Promise<ClaimResult> {
  return (await intake.askAlone(transact(prepareSuspect(tasks, request)))) as ClaimResult
}

async function claimInRounds(intake: Intake, request: DueRequest): Promise<ClaimResult> {
  const { rest, ...claimed } = (await intake.ask({ verb: 'claim', args: [request] })) as Claimed
  if (rest === null) return claimed
  // What is claimed is ours whatever becomes of the next round, and there will be others.
  const more = await claimInRounds(intake, rest).catch(() => ({ jobs: [], nextDueAt: null }))
  return { jobs: [...claimed.jobs, ...more.jobs], nextDueAt: earliest([claimed.nextDueAt, more.nextDueAt]) }
}
