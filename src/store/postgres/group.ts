/**
 * One transaction that does whatever a group asks for that moves jobs: jobs are locked, then their runs, and everything
 * that became of them is written and told. It can do what the statement for completions does, and more, in three trips.
 */
import type { Query } from './connection.ts'
import { lockJobs, lockRuns } from './lock.ts'
import { isMoving, runMoving, targetsOf, type Settling } from './operations.ts'
import { transact, type Prepare } from './prepared.ts'
import { readRuns } from './read.ts'
import { fence, type Commit } from './transaction.ts'
import { createUnit } from './unit.ts'

export const commitGroup: Commit<readonly Settling[]> = async (connection, sender, operations) => {
  const outcome = await transact(prepareGroup(operations))(connection, sender, null)
  const values = await withReads(connection.query, operations, outcome.values)
  return { ...outcome, values }
}

function prepareGroup(operations: readonly Settling[]): Prepare {
  return async (query, sender, beginning) => {
    const moving = operations.filter(isMoving)
    const [jobs] = await Promise.all([lockJobs(query, moving.map(targetsOf)), beginning])
    const runIds = [...new Set(jobs.map((job) => job.run_id))]
    const writes = runIds.length > 0
    const [runs] = await Promise.all([lockRuns(query, runIds), writes ? fence(query, sender) : null])
    const unit = createUnit(jobs, runs)
    const values = operations.map((operation) => (isMoving(operation) ? runMoving(unit, operation) : undefined))
    return { unit, values, given: [], writes }
  }
}

async function withReads(query: Query, operations: readonly Settling[], values: readonly unknown[]) {
  const ids = operations.flatMap(({ verb, args }) => (verb === 'getRun' ? [args[0]] : []))
  if (ids.length === 0) return values
  const runs = await readRuns(query, [...new Set(ids)]).catch((error: unknown) => error)
  return operations.map(({ verb, args }, index) => {
    if (verb !== 'getRun') return values[index]
    return Array.isArray(runs) ? (runs.find(({ id }) => id === args[0]) ?? null) : runs
  })
}
