/**
 * The transaction under way: loads records, and saves changed ones together with everything that is derived from them:
 * the queue, the payloads, the filters and the totals.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { Claim, Step } from '../../../domain/claim.ts'
import { jobAt, type Run } from '../../../domain/run/aggregate.ts'
import type { RunChange } from '../../../domain/run.ts'
import { changeOf } from '../../../domain/run/verbs.ts'
import { isFull } from '../../apart.ts'
import { createSearchIndex } from '../search-index.ts'
import { createDeliveries } from '../statements/deliveries.ts'
import { createIdempotencyKeys } from '../statements/idempotency-keys.ts'
import { createFilters } from '../statements/filters.ts'
import { createPayloads, createSteps } from '../statements/payloads.ts'
import { createQueue, queueEntry } from '../statements/queue.ts'
import { createRecords, type RecordsOptions, type StoredRun } from '../statements/records.ts'
import { createSchedules } from '../statements/schedules.ts'
import { createPausedTasks, createTaskStarts } from '../statements/tasks.ts'
import { createLines, createMinutes } from '../statements/task-history.ts'
import { createTotals } from '../statements/totals.ts'

export interface TransactionOptions extends RecordsOptions {
  /** Tasks that run here: no job of another task is claimed. Default: any. */
  readonly tasks?: readonly string[]
  /** Whether runs can be found by their words. Default: no. */
  readonly hasSearch?: boolean
}

export type Transaction = ReturnType<typeof createTransaction>

export function createTransaction(database: DatabaseSync, options: TransactionOptions = {}) {
  const tables = createTables(database, options)
  const { records, queue, payloads, steps, lines, filters, totals, keys, deliveries, searchIndex } = tables
  // Tables with state in memory, which has to follow each commit and rollback.
  const inMemory = [records, queue, lines, filters, totals, tables.pausedTasks, tables.taskStarts] as const
  const changes = new Map<string, RunChange>()

  return {
    ...tables,
    add(accepted: Run): StoredRun {
      const key = records.takeKey()
      const isRecordFull = isFull(accepted)
      const jobs = accepted.jobs.map((job, index) => payloads.setApart(key, index, job, { before: null, isRecordFull }))
      const stored = { key, run: { ...accepted, jobs } }
      records.add(stored)
      filters.add(accepted)
      totals.countRun(null, accepted.state)
      for (const [index, job] of jobs.entries()) {
        const entry = queueEntry(key, job, index)
        if (entry !== null) queue.add(entry)
        totals.countJob(null, job.state)
      }
      return stored
    },
    /** Saves a changed record. @returns `stored` itself if nothing changed */
    save(stored: StoredRun, changed: Run): StoredRun {
      const { key, run: before } = stored
      if (changed === before) return stored
      const isRecordFull = isFull(before)
      let run = changed
      for (const [index, job] of changed.jobs.entries()) {
        const old = jobAt(before, index)
        if (job === old) continue
        const kept = payloads.setApart(key, index, job, { before: old, isRecordFull })
        if (kept !== job) run = { ...run, jobs: run.jobs.with(index, kept) }
        if (old.steps !== null && kept.steps === null) steps.removeJob(key, index)
        const [oldEntry, entry] = [queueEntry(key, old, index), queueEntry(key, kept, index)]
        if (oldEntry !== null) queue.remove(oldEntry)
        if (entry !== null) queue.add(entry)
        totals.countJob(old.state, job.state)
      }
      if (run.state !== before.state) totals.countRun(before.state, run.state)
      if (run.version !== before.version) {
        if (run.webhook !== null) deliveries.add(key, before, run)
        changes.set(run.id, changeOf(before, run, changes.get(run.id)))
      }
      const saved = { key, run }
      records.change(saved)
      searchIndex?.noteChange(key)
      return saved
    },
    /** Stores the step that the record of the run has just counted. */
    addStep({ runId, jobIndex }: Claim, step: Step, at: number): void {
      const stored = records.find(runId)
      const count = stored?.run.jobs[jobIndex]?.steps?.count
      if (stored === null || count === undefined) throw new Error(`the run ${runId} has no step`)
      steps.add(stored.key, jobIndex, count - 1, step, at)
    },
    remove(stored: StoredRun): void {
      const { key, run } = stored
      for (const { state } of run.jobs) totals.countJob(state, null)
      totals.countRun(run.state, null)
      payloads.removeRun(key)
      if (run.jobs.some((job) => job.steps !== null)) steps.removeRun(key)
      if (run.webhook !== null) deliveries.removeRun(key)
      lines.removeRun(key)
      filters.remove(run)
      keys.remove(run.id)
      searchIndex?.remove(key)
      records.remove(stored)
    },
    /** Writes rows that are only in memory. Call before the commit, and before a statement looks for records or jobs. */
    flush(): void {
      records.flush()
      queue.flush()
      totals.flush()
    },
    /** @returns the changes of the commit, one for each run */
    afterCommit(): RunChange[] {
      for (const table of inMemory) table.afterCommit()
      const committed = [...changes.values()]
      changes.clear()
      return committed
    },
    afterRollback(): void {
      for (const table of inMemory) table.afterRollback()
      changes.clear()
    },
  }
}

function createTables(database: DatabaseSync, { tasks, hasSearch = false, ...options }: TransactionOptions) {
  const records = createRecords(database, options)
  const pausedTasks = createPausedTasks(database)
  const queue = createQueue(database, tasks, pausedTasks.has)
  return {
    records,
    pausedTasks,
    queue,
    totals: createTotals(database, queue.size() + records.heldJobs()),
    taskStarts: createTaskStarts(database),
    payloads: createPayloads(database),
    steps: createSteps(database),
    lines: createLines(database),
    minutes: createMinutes(database),
    filters: createFilters(database),
    keys: createIdempotencyKeys(database),
    deliveries: createDeliveries(database),
    schedules: createSchedules(database),
    /** null for a store without search. */
    searchIndex: hasSearch ? createSearchIndex(database) : null,
  }
}
