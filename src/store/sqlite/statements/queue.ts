/**
 * Jobs that wait. Rows that a transaction adds stay in memory until they are flushed, so that a job which starts in the
 * commit that accepts it never gets a row. The number of rows of each task is known without a query: a claim asks only
 * for tasks that have some, and a task whose limit is reached costs nothing.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type TaskKind, taskKinds } from '../../../domain/task.ts'
import { expiresAt, isSuspect } from '../../../domain/run/transitions.ts'
import type { Job } from '../../../domain/run/aggregate.ts'
import { prepareSelect } from '../connection/node-sqlite.ts'

export interface QueueEntry {
  readonly kind: TaskKind
  readonly priority: number
  readonly task: string
  /** When the job is due. */
  readonly runAt: number
  /** Key of the record. */
  readonly key: number
  readonly jobIndex: number
  readonly isSuspect: boolean
  /** null: never. */
  readonly expiresAt: number | null
}

type Row = Omit<QueueEntry, 'isSuspect'> & { readonly isSuspect: number }
type TaskQueue = Pick<QueueEntry, 'kind' | 'priority' | 'task'>

const rowColumns = `kind, priority, task, run_at AS runAt, run AS key, job AS jobIndex, is_suspect AS isSuspect,
  expires_at AS expiresAt`
const isOfTask = 'kind = ? AND priority = ? AND task = ?'
/** No run has that many jobs. */
const jobsPerRun = 2 ** 20

/** @returns null for a job that does not wait */
export function queueEntry(key: number, job: Job, jobIndex: number): QueueEntry | null {
  const { kind, priority, task, runAt } = job
  if (runAt === null) return null
  return { kind, priority, task, runAt, key, jobIndex, isSuspect: isSuspect(job), expiresAt: expiresAt(job) }
}

/** @param tasks that run here; undefined: any */
export function createQueue(
  database: DatabaseSync,
  tasks: readonly string[] | undefined,
  isPaused: (task: string) => boolean,
) {
  const known = tasks && new Set(tasks)
  const isKnown = (task: string): boolean => known?.has(task) ?? true
  const isClaimable = (task: string): boolean => isKnown(task) && !isPaused(task)
  const selectDue = prepareSelect<Row>(
    database,
    `SELECT ${rowColumns} FROM queue WHERE ${isOfTask} AND run_at <= ? AND (expires_at IS NULL OR expires_at > ?)
      ORDER BY run_at, run, job LIMIT ?`,
  )
  // Few: only a job that has lost starts together with its process is a suspect.
  const selectSuspects = prepareSelect<Row>(database, `SELECT ${rowColumns} FROM queue WHERE is_suspect = 1`)
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
  /** Keys of records that cannot be read. */
  const ignored = new Set<number>()
  let ignoredRows = 0
  /** Entries of this transaction that have no row yet. */
  const added = new Map<number, QueueEntry>()
  /** Number of rows of each kind, priority and task that has any. */
  const counts = new Map<string, TaskQueue & { count: number }>()
  let rows = 0
  /** Changes of the counts by this transaction. */
  let changes: { readonly of: TaskQueue; readonly change: number }[] = []

  const nameOf = ({ kind, priority, task }: TaskQueue): string => `${kind} ${priority} ${task}`

  function addToCount(of: TaskQueue, change: number): void {
    const { kind, priority, task } = of
    const name = nameOf(of)
    const counted = counts.get(name) ?? { kind, priority, task, count: 0 }
    counted.count += change
    if (counted.count > 0) counts.set(name, counted)
    else counts.delete(name)
    rows += change
  }

  /** Changes the count, and notes the change: a rollback undoes it. */
  function changeCount(of: TaskQueue, change: number): void {
    addToCount(of, change)
    changes.push({ of, change })
  }

  for (const { kind, priority, task, n } of selectCounts.all()) {
    addToCount({ kind: kind as TaskKind, priority: Number(priority), task: String(task) }, Number(n))
  }

  function countsOf(kind: TaskKind) {
    return [...counts.values()].filter((each) => each.kind === kind)
  }

  /** The earliest instant that the statement finds for a task of the kind; Infinity without one. */
  function earliestOf(statement: StatementSync, kind: TaskKind, isWanted: typeof isKnown, ...values: number[]): number {
    let earliest = Infinity
    for (const { priority, task } of countsOf(kind)) {
      if (!isWanted(task)) continue
      earliest = Math.min(earliest, Number(statement.get(kind, priority, task, ...values)?.['at'] ?? Infinity))
    }
    return earliest
  }

  return {
    add(entry: QueueEntry): void {
      added.set(entry.key * jobsPerRun + entry.jobIndex, entry)
    },
    remove(entry: QueueEntry): void {
      const { kind, priority, task, runAt, key, jobIndex } = entry
      if (added.delete(key * jobsPerRun + jobIndex)) return
      const removed = remove.run(kind, priority, task, runAt, key, jobIndex).changes
      if (removed !== 1) throw new Error(`job ${jobIndex} of the record ${key} waits, and the queue has no row of it`)
      changeCount(entry, -1)
    },
    /** Priorities at which jobs of the kind wait, highest first. */
    priorities(kind: TaskKind): number[] {
      const found = new Set(countsOf(kind).map(({ priority }) => priority))
      for (const entry of added.values()) if (entry.kind === kind) found.add(entry.priority)
      return [...found].toSorted((one, other) => other - one)
    },
    /** Claimable tasks with jobs of the kind and priority. */
    tasks(kind: TaskKind, priority: number): string[] {
      const found = new Set<string>()
      for (const each of countsOf(kind)) if (each.priority === priority) found.add(each.task)
      for (const entry of added.values()) if (entry.kind === kind && entry.priority === priority) found.add(entry.task)
      return [...found].filter(isClaimable)
    },
    /**
     * @param wanted the tasks, and how many jobs of each
     * @returns due jobs, the longest due first; of a task there can be more than wanted
     */
    due(kind: TaskKind, priority: number, wanted: ReadonlyMap<string, number>, at: number): QueueEntry[] {
      const found: QueueEntry[] = []
      for (const [task, count] of wanted) {
        if (!counts.has(nameOf({ kind, priority, task }))) continue
        for (const row of selectDue(kind, priority, task, at, at, count + ignoredRows)) {
          if (!ignored.has(row.key)) found.push(entryOf(row))
        }
      }
      for (const entry of added.values()) {
        if (entry.kind !== kind || entry.priority !== priority || entry.runAt > at || !wanted.has(entry.task)) continue
        if (entry.expiresAt === null || entry.expiresAt > at) found.push(entry)
      }
      return found.toSorted(inOrder)
    },
    /** When the next claimable job of the kind will be due; Infinity without one. */
    nextDueAt(kind: TaskKind, at: number): number {
      let next = earliestOf(selectNext, kind, isClaimable, at)
      for (const entry of added.values()) {
        if (entry.kind === kind && entry.runAt > at && isClaimable(entry.task)) next = Math.min(next, entry.runAt)
      }
      return next
    },
    /** The longest due first. */
    dueSuspects: (at: number) =>
      selectSuspects()
        .map(entryOf)
        .filter(({ runAt, task, key }) => runAt <= at && isClaimable(task) && !ignored.has(key))
        .toSorted(inOrder),
    suspects: () => selectSuspects().length,
    /** Number of due jobs that are claimed before this one; counts at most `limit` of each task and priority. */
    countAhead(entry: QueueEntry, at: number, limit: number): number {
      const { kind, priority: own, runAt, key, jobIndex } = entry
      let ahead = 0
      for (const { priority, task } of countsOf(kind)) {
        if (priority < own || !isClaimable(task)) continue
        ahead += Number(countAhead.get(kind, priority, task, at, own, runAt, key, jobIndex, limit)?.['n'])
      }
      return ahead
    },
    /** Number of waiting jobs of each task that does not run here. */
    unknownTasks(): Record<string, number> {
      // A map, because every object has members such as `constructor`, which may be the name of a task.
      const found = new Map<string, number>()
      for (const { task, count } of counts.values()) {
        if (!isKnown(task)) found.set(task, (found.get(task) ?? 0) + count)
      }
      return Object.fromEntries(found)
    },
    /** Since when the longest due job has been due; null when none is due. */
    oldestDueAt(at: number): number | null {
      const oldest = Math.min(...taskKinds.map((kind) => earliestOf(selectOldest, kind, () => true)))
      return oldest <= at ? oldest : null
    },
    /** Keys of records with expired jobs, at most `limit`. */
    expiredRuns: (at: number, limit: number) =>
      selectExpired
        .all(at, limit + ignored.size)
        .map(({ run }) => Number(run))
        .filter((key) => !ignored.has(key))
        .slice(0, limit),
    /** Keys of records with jobs that are due after the instant. */
    runsDueAfter: (at: number) => selectRuns.all(at).map(({ run }) => Number(run)),
    size: () => rows + added.size,
    /** Leaves out the jobs of a record that cannot be read. Their rows stay, so each query reads that many extra rows. */
    ignore(key: number): void {
      ignored.add(key)
      ignoredRows += Number(countOfRun.get(key)?.['n'])
    },
    flush() {
      for (const entry of added.values()) {
        const { kind, priority, task, runAt, key, jobIndex } = entry
        insert.run(kind, priority, task, runAt, key, jobIndex, Number(entry.isSuspect), entry.expiresAt)
        changeCount(entry, 1)
      }
      added.clear()
    },
    afterCommit() {
      changes = []
    },
    afterRollback() {
      added.clear()
      // In reverse order, so that no count falls below 0 in between.
      for (const { of, change } of changes.toReversed()) addToCount(of, -change)
      changes = []
    },
  }
}

function entryOf(row: Row): QueueEntry {
  return { ...row, isSuspect: row.isSuspect === 1 }
}

function inOrder(one: QueueEntry, other: QueueEntry): number {
  return one.runAt - other.runAt || one.key - other.key || one.jobIndex - other.jobIndex
}
