/** Which of the operations that wait in a lane go together as its next transaction; what is left keeps its place. */
import { runIdOf, type Admission, type Settling } from './operations.ts'

/** The places of those that go, from the front. The first always does. */
export type NextGroup<Operation> = (waiting: readonly Operation[]) => ReadonlySet<number>

const maxOperations = 200

/** All in their order, but for claims beyond the first: what that takes, the second is not to see. */
export const nextAdmissions: NextGroup<Admission> = (waiting) => {
  const taken = new Set<number>()
  let hasClaim = false
  for (const [place, { verb }] of waiting.entries()) {
    if (taken.size === maxOperations) break
    if (verb === 'claim' && hasClaim) continue
    hasClaim ||= verb === 'claim'
    taken.add(place)
  }
  return taken
}

/**
 * Completions go by themselves, for they can be settled in one statement, and so does everything else; with it what was
 * asked for of the same runs. Of one run nothing goes before what was asked for earlier.
 */
export const nextSettlings: NextGroup<Settling> = (waiting) => {
  const taken = new Set<number>()
  const isQuick = waiting[0] !== undefined && isCompletion(waiting[0])
  const left = new Set<string>()
  const involved = new Set<string>()
  const completed = new Set<string>()
  for (const [place, operation] of waiting.entries()) {
    if (taken.size === maxOperations) break
    const runId = runIdOf(operation)
    const goes = isQuick
      ? isCompletion(operation) && !isAgain(operation, completed)
      : !isCompletion(operation) || involved.has(runId)
    if (!goes || left.has(runId)) {
      left.add(runId)
      continue
    }
    involved.add(runId)
    taken.add(place)
  }
  return taken
}

function isCompletion({ verb }: Settling): boolean {
  return verb === 'complete' || verb === 'getRun'
}

/** Whether the job is completed in this group already: the second one is to find that. */
function isAgain(operation: Settling, completed: Set<string>): boolean {
  if (operation.verb !== 'complete') return false
  const [{ runId, jobIndex }] = operation.args
  const name = `${runId}/${jobIndex}`
  if (completed.has(name)) return true
  completed.add(name)
  return false
}
