/**
 * Jobs that wait; those of one kind and priority in the order in which they are due. What a transaction adds stays in memory until it is flushed, so
 * that a job which starts in the commit that accepts it is never written here. How many wait of each task is known
 * without a query: a claim asks only for tasks that have some, and one whose limit is reached costs nothing.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type TaskKind, taskKinds } from '../../../domain/task.ts'
import { expiresAt, isSuspect } from '../../../domain/run/transitions.ts'
import type { Job } from '../../../domain/run/aggregate.ts'
import { prepareSelect } from '../connection/node-sqlite.ts'

export interface Waiting {
  readonly kind: TaskKind
  readonly priority: number
  readonly task: string
  readonly runAt: number
  /** Key of the record. */
  readonly run: number
  readonly job: number
  readonly isSuspect: boolean
  /** null: never. */
  readonly expiresAt: number | null
}

export interface Queue {
  add(entry: Waiting): void
  remove(entry: Waiting): void
  /** Priorities at which jobs of the kind wait, highest first. */
  priorities(kind: TaskKind): number[]
  /** Tasks of which jobs wait at the priority and may be claimed. */
  tasks(kind: TaskKind, priority: number): string[]
  /** Jobs of the tasks that are due, of each at most as many as `limits` says; in the order in which they are due. */
  due(kind: TaskKind, priority: number, limits: ReadonlyMap<string, number>, at: number): Waiting[]
  /** When the first job of the kind that is not due will be; Infinity without one. */
  nextDueAt(kind: TaskKind, at: number): number
  /** Due jobs for which one more lost start is the last, in the order in which they are due. */
  dueSuspects(at: number): Waiting[]
  suspects(): number
  /** How many due jobs are claimed before this one, of each task and priority at most `limit`. */
  ahead(entry: Waiting, at: number, limit: number): number
  /** How many jobs wait of each task that does not run here. */
  unknownTasks(): Record<string, number>
  /** When the job that has been due the longest became so; null when none is due. */
  oldestDueAt(at: number): number | null
  /** Keys of the records with jobs that are due after the instant. */
  runsDueAfter(at: number): number[]
  /** Keys of records with jobs that have expired, at most `limit`. */
  runsExpired(at: number, limit: number): number[]
  size(): number
  /** Leaves out the jobs of a record that cannot be read from what is claimed and changed. */
  ignore(run: number): void
  /** Writes what the transaction has added. */
  flush(): void
  /** Call after the commit. */
  keep(): void
  /** Call when the transaction was rolled back. */
  revert(): void
}

type Row = Omit<Waiting, 'isSuspect'> & { readonly isSuspect: number }

const rowColumns = 'kind, priority, task, run_at AS runAt, run, job, is_suspect AS isSuspect, expires_at AS expiresAt'
const isOfTask = 'kind = ? AND priority = ? AND task = ?'
/** More than the jobs of any run. */
const jobsPerRun = 2 ** 20

/** The queue's entry of a job; null unless it waits. */
export function waitingOf(run: number, job: Job, index: number): Waiting | null {
  const { kind, priority, task, runAt } = job
  if (runAt === null) return null
  return { kind, priority, task, runAt, run, job: index, isSuspect: isSuspect(job), expiresAt: expiresAt(job) }
}

/** By kind, by priority, by task. */
type Counts = Map<TaskKind, Map<number, Map<string, number>>>

/**
 * @param tasks that run here; null: any
 * @param isPaused whether no job of the task is to be claimed now
 */
export function createQueue(
  database: DatabaseSync,
  tasks: readonly string[] | null,
  isPaused: (task: string) => boolean,
): Queue {
  const known = tasks === null ? null : new Set(tasks)
  const isKnown = (task: string): boolean => known?.has(task) ?? true
  const isClaimable = (task: string): boolean => isKnown(task) && !isPaused(task)
  const selectDue = prepareSelect<Row>(
    database,
    rowColumns,
    `FROM queue WHERE ${isOfTask} AND run_at <= ? AND (expires_at IS NULL OR expires_at > ?)
      ORDER BY run_at, run, job LIMIT ?`,
  )
  const selectSuspects = prepareSelect<Row>(database, rowColumns, 'FROM queue WHERE is_suspect = 1')
  const selectNext = database.prepare(`SELECT min(run_at) AS at FROM queue WHERE ${isOfTask} AND run_at > ?`)
  const selectOldest = database.prepare(`SELECT min(run_at) AS at FROM queue WHERE ${isOfTask}`)
  const selectCounts = database.prepare('SELECT kind, priority, task, count(*) AS n FROM queue GROUP BY 1, 2, 3')
  const countOfRun = database.prepare('SELECT count(*) AS n FROM queue WHERE run = ?')
  const countAhead = database.prepare(`
    SELECT count(*) AS n FROM (
      SELECT 1 FROM queue
      WHERE ${isOfTask} AND run_at <= ? AND (priority > ? OR (run_at, run, job) < (?, ?, ?)) LIMIT ?)`)
  const selectRuns = database.prepare('SELECT DISTINCT run FROM queue WHERE run_at > ? ORDER BY run')
  const selectExpired = database.prepare('SELECT DISTINCT run FROM queue WHERE expires_at <= ? LIMIT ?')
  const insert = database.prepare(`
    INSERT INTO queue (kind, priority, task, run_at, run, job, is_suspect, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
  const remove = database.prepare(`DELETE FROM queue WHERE ${isOfTask} AND run_at = ? AND run = ? AND job = ?`)
  const ignored = new Set<number>()
  let ignoredRows = 0
  /** Added in this transaction and not written yet. */
  const added = new Map<number, Waiting>()
  /** How many rows the table has. */
  const counts: Counts = new Map()
  let rows = 0
  /** Changes of the counts by this transaction. */
  let changes: (readonly [TaskKind, number, string, number])[] = []

  function applyChange(kind: TaskKind, priority: number, task: string, change: number): void {
    const ofKind = counts.get(kind) ?? new Map<number, Map<string, number>>()
    const ofPriority = ofKind.get(priority) ?? new Map<string, number>()
    const waiting = (ofPriority.get(task) ?? 0) + change
    if (waiting > 0) ofPriority.set(task, waiting)
    else ofPriority.delete(task)
    if (ofPriority.size > 0) ofKind.set(priority, ofPriority)
    else ofKind.delete(priority)
    counts.set(kind, ofKind)
    rows += change
  }

  function count(...change: readonly [TaskKind, number, string, number]): void {
    applyChange(...change)
    changes.push(change)
  }

  for (const row of selectCounts.all()) {
    applyChange(row['kind'] as TaskKind, Number(row['priority']), String(row['task']), Number(row['n']))
  }

  /** The least instant that the statement finds for a task of the kind. */
  function least(statement: StatementSync, kind: TaskKind, isAsked: typeof isKnown, ...rest: number[]): number {
    let found = Infinity
    for (const [priority, ofTask] of counts.get(kind) ?? []) {
      for (const task of ofTask.keys()) {
        if (!isAsked(task)) continue
        found = Math.min(found, Number(statement.get(kind, priority, task, ...rest)?.['at'] ?? Infinity))
      }
    }
    return found
  }

  return {
    add(entry) {
      added.set(entry.run * jobsPerRun + entry.job, entry)
    },
    remove({ kind, priority, task, runAt, run, job }) {
      if (added.delete(run * jobsPerRun + job)) return
      const removed = remove.run(kind, priority, task, runAt, run, job).changes
      if (removed !== 1) throw new Error(`job ${job} of the record ${run} waits, and the queue has no row of it`)
      count(kind, priority, task, -1)
    },
    priorities(kind) {
      const found = new Set(counts.get(kind)?.keys())
      for (const entry of added.values()) if (entry.kind === kind) found.add(entry.priority)
      return [...found].toSorted((one, other) => other - one)
    },
    tasks(kind, priority) {
      const found = new Set(counts.get(kind)?.get(priority)?.keys())
      for (const entry of added.values()) if (entry.kind === kind && entry.priority === priority) found.add(entry.task)
      return [...found].filter(isClaimable)
    },
    due(kind, priority, limits, at) {
      const found: Waiting[] = []
      const written = counts.get(kind)?.get(priority)
      for (const [task, limit] of limits) {
        if (written?.has(task) !== true) continue
        const rowsAtMost = limit + ignoredRows
        for (const row of selectDue(kind, priority, task, at, at, rowsAtMost)) {
          if (!ignored.has(row.run)) found.push(waitingAt(row))
        }
      }
      for (const entry of added.values()) {
        if (entry.kind === kind && entry.priority === priority && entry.runAt <= at && limits.has(entry.task)) {
          if (entry.expiresAt === null || entry.expiresAt > at) found.push(entry)
        }
      }
      return found.toSorted(inOrder)
    },
    nextDueAt(kind, at) {
      let next = least(selectNext, kind, isClaimable, at)
      for (const entry of added.values()) {
        if (entry.kind === kind && entry.runAt > at && isClaimable(entry.task)) next = Math.min(next, entry.runAt)
      }
      return next
    },
    dueSuspects: (at) =>
      selectSuspects()
        .map(waitingAt)
        .filter(({ runAt, task, run }) => runAt <= at && isClaimable(task) && !ignored.has(run))
        .toSorted(inOrder),
    suspects: () => selectSuspects().length,
    ahead({ kind, priority: own, runAt, run, job }, at, limit) {
      let ahead = 0
      for (const [priority, ofTask] of counts.get(kind) ?? []) {
        if (priority < own) continue
        for (const task of ofTask.keys()) {
          if (!isClaimable(task)) continue
          ahead += Number(countAhead.get(kind, priority, task, at, own, runAt, run, job, limit)?.['n'])
        }
      }
      return ahead
    },
    unknownTasks() {
      const found: Record<string, number> = {}
      for (const ofKind of counts.values()) {
        for (const [task, waiting] of [...ofKind.values()].flatMap((ofTask) => [...ofTask])) {
          if (!isKnown(task)) found[task] = (found[task] ?? 0) + waiting
        }
      }
      return found
    },
    oldestDueAt(at) {
      const oldest = Math.min(...taskKinds.map((kind) => least(selectOldest, kind, () => true)))
      return oldest <= at ? oldest : null
    },
    runsExpired: (at, limit) =>
      selectExpired
        .all(at, limit + ignored.size)
        .map(({ run }) => Number(run))
        .filter((run) => !ignored.has(run)),
    runsDueAfter: (at) => selectRuns.all(at).map(({ run }) => Number(run)),
    size: () => rows + added.size,
    ignore(run) {
      ignored.add(run)
      ignoredRows += Number(countOfRun.get(run)?.['n'])
    },
    flush() {
      for (const entry of added.values()) {
        const { kind, priority, task, runAt, run, job } = entry
        insert.run(kind, priority, task, runAt, run, job, Number(entry.isSuspect), entry.expiresAt)
        count(kind, priority, task, 1)
      }
      added.clear()
    },
    keep() {
      changes = []
    },
    revert() {
      added.clear()
      // Backwards, through what the counts have been: none of them was less than nothing.
      for (const [kind, priority, task, change] of changes.toReversed()) applyChange(kind, priority, task, -change)
      changes = []
    },
  }
}

function waitingAt(row: Row): Waiting {
  return { ...row, isSuspect: row.isSuspect === 1 }
}

function inOrder(one: Waiting, other: Waiting): number {
  return one.runAt - other.runAt || one.run - other.run || one.job - other.job
}
