/**
 * The transaction under way: loads records, and saves changed ones together with everything that is derived from them:
 * the queue, the payloads, the lists and the totals.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { Claim, Step } from '../../../domain/claim.ts'
import { jobAt, type Run } from '../../../domain/run/aggregate.ts'
import type { RunChange } from '../../../domain/run.ts'
import { changeOf } from '../../../domain/run/verbs.ts'
import { isFull } from '../../apart.ts'
import { createDeliveries, type Deliveries } from '../statements/deliveries.ts'
import { createIdempotencyKeys, type IdempotencyKeys } from '../statements/idempotency-keys.ts'
import { createLines, type Lines } from '../statements/lines.ts'
import { createLists, type Lists } from '../statements/lists.ts'
import { createMinutes, createTotals, type Minutes, type Totals } from '../statements/totals.ts'
import { createPayloads, createSteps, type Payloads, type Steps } from '../statements/payloads.ts'
import { createPausedTasks, createTaskStarts, type PausedTasks, type TaskStarts } from '../statements/tasks.ts'
import { createQueue, type Queue, waitingOf } from '../statements/queue.ts'
import { createRecords, type Records, type RecordsOptions, type StoredRun } from '../statements/records.ts'
import { createSchedules, type Schedules } from '../statements/schedules.ts'
import { createSearchIndex, type SearchIndex } from '../search-index.ts'

export interface Transaction {
  readonly records: Pick<Records, 'find' | 'findByKey' | 'read' | 'held' | 'finishedBefore'>
  readonly queue: Omit<Queue, 'add' | 'remove' | 'flush' | 'keep' | 'revert'>
  readonly payloads: Pick<Payloads, 'input' | 'result' | 'text' | 'beginning'>
  readonly steps: Pick<Steps, 'list' | 'page'>
  readonly lines: Pick<Lines, 'put' | 'chunksOf' | 'prune'>
  readonly minutes: Minutes
  readonly lists: Pick<Lists, 'taskId'>
  readonly totals: Pick<Totals, 'current' | 'live'>
  readonly deliveries: Omit<Deliveries, 'add' | 'forget'>
  readonly keys: IdempotencyKeys
  readonly pausedTasks: Omit<PausedTasks, 'revert'>
  readonly schedules: Schedules
  readonly taskStarts: Omit<TaskStarts, 'revert'>
  /** null: there is none. */
  readonly searchIndex: SearchIndex | null
  add(run: Run): StoredRun
  /** Saves a changed record; does nothing if it is the same. */
  save(before: StoredRun, run: Run): StoredRun
  /** Stores the step that the record of the run has just counted. */
  addStep(claim: Claim, step: Step, at: number): void
  remove(stored: StoredRun): void
  /** Writes everything; call before the commit, and before a statement of another file reads the tables. */
  flush(): void
  /** Call after the commit. @returns its changes, one for each run */
  keep(): RunChange[]
  /** Call when the transaction was rolled back. */
  revert(): void
}

export interface TransactionOptions extends RecordsOptions {
  /** Tasks that run here: no job of another task is claimed. Default null: any. */
  readonly tasks?: readonly string[] | null
  /** Whether runs can be found by their words. Default: no. */
  readonly hasSearch?: boolean
}

export function createTransaction(
  database: DatabaseSync,
  { tasks = null, hasSearch = false, ...options }: TransactionOptions = {},
): Transaction {
  const records = createRecords(database, options)
  const pausedTasks = createPausedTasks(database)
  const taskStarts = createTaskStarts(database)
  const queue = createQueue(database, tasks, pausedTasks.has)
  const payloads = createPayloads(database)
  const steps = createSteps(database)
  const lines = createLines(database)
  const minutes = createMinutes(database)
  const lists = createLists(database)
  const totals = createTotals(database, queue.size() + records.heldJobs())
  const keys = createIdempotencyKeys(database)
  const deliveries = createDeliveries(database)
  const schedules = createSchedules(database)
  const searchIndex = hasSearch ? createSearchIndex(database) : null
  const changes = new Map<string, RunChange>()

  return {
    records,
    queue,
    payloads,
    steps,
    lines,
    minutes,
    lists,
    totals,
    deliveries,
    keys,
    pausedTasks,
    schedules,
    taskStarts,
    searchIndex,
    add(accepted) {
      const key = records.nextKey()
      const isRecordFull = isFull(accepted)
      const jobs = accepted.jobs.map((job, index) => payloads.store(key, index, null, job, isRecordFull))
      const stored = { key, run: { ...accepted, jobs } }
      records.add(stored)
      lists.add(accepted)
      totals.countRun(null, accepted.state)
      for (const [index, job] of jobs.entries()) {
        const waiting = waitingOf(key, job, index)
        if (waiting !== null) queue.add(waiting)
        totals.countJob(null, job.state)
      }
      return stored
    },
    save(stored, changed) {
      const { key, run: before } = stored
      if (changed === before) return stored
      const isRecordFull = isFull(before)
      let run = changed
      for (const [index, job] of changed.jobs.entries()) {
        const old = jobAt(before, index)
        if (job === old) continue
        const kept = payloads.store(key, index, old, job, isRecordFull)
        if (kept !== job) run = { ...run, jobs: run.jobs.with(index, kept) }
        if (old.steps !== null && kept.steps === null) steps.drop(key, index)
        const [waited, waits] = [waitingOf(key, old, index), waitingOf(key, kept, index)]
        if (waited !== null) queue.remove(waited)
        if (waits !== null) queue.add(waits)
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
    addStep({ runId, jobIndex }, step, at) {
      const stored = records.find(runId)
      const count = stored?.run.jobs[jobIndex]?.steps?.count
      if (stored === null || count === undefined) throw new Error(`the run ${runId} has no step`)
      steps.put(stored.key, jobIndex, count - 1, step, at)
    },
    remove(stored) {
      const { key, run } = stored
      for (const { state } of run.jobs) totals.countJob(state, null)
      totals.countRun(run.state, null)
      payloads.forget(key)
      if (run.jobs.some((job) => job.steps !== null)) steps.forget(key)
      if (run.webhook !== null) deliveries.forget(key)
      lines.forget(key)
      lists.remove(run)
      keys.forget(run.id)
      searchIndex?.remove(key)
      records.remove(stored)
    },
    flush() {
      records.flush()
      queue.flush()
      totals.flush()
    },
    keep() {
      records.keep()
      queue.keep()
      lines.keep()
      lists.keep()
      totals.keep()
      const committed = [...changes.values()]
      changes.clear()
      return committed
    },
    revert() {
      records.revert()
      queue.revert()
      lines.revert()
      lists.revert()
      totals.revert()
      pausedTasks.revert()
      taskStarts.revert()
      changes.clear()
    },
  }
}
