/**
 * The unit of work of one transaction: verbs change runs here, one after the other. At the end each changed run is
 * written once, with the differences in everything that is derived from it.
 */
import type { Claim, Step } from '../../../domain/claim.ts'
import { deliveryOfEnd, type NewDelivery, changeOf } from '../../../domain/run/verbs.ts'
import type { RunChange } from '../../../domain/run.ts'
import { jobAt, type Job, type Run } from '../../../domain/run/aggregate.ts'
import { expiresAt, isSuspect, waitsSince } from '../../../domain/run/transitions.ts'
import type { TaskKind } from '../../../domain/task.ts'
import { isFull, setApart } from '../../apart.ts'
import type { TaskStart } from '../statements/tasks.ts'
import { countJob, countRun, emptyTotals, type Totals } from '../../totals.ts'

/** A record as the table has it. */
export interface Stored {
  readonly run: Run
  readonly revision: number
}

export interface QueueRow {
  readonly kind: TaskKind
  readonly priority: number
  /** On every clock. */
  readonly isDue: boolean
  readonly task: string
  readonly runAt: number
  readonly since: number
  readonly runId: string
  readonly jobIndex: number
  /** 0: it has lost no start; 2: one more lost start is the last. */
  readonly lost: 0 | 1 | 2
  /** null: never. */
  readonly expiresAt: number | null
}

export interface PayloadRow {
  readonly runId: string
  readonly jobIndex: number
  readonly part: number
  /** null: it is dropped. */
  readonly text: string | null
}

export interface HolderRow {
  readonly process: number
  readonly runId: string
}

export interface StepRow {
  readonly runId: string
  readonly jobIndex: number
  readonly place: number
  readonly name: string
  readonly at: number
  readonly value: string
}

/** What is to be written. */
export interface Writes {
  readonly added: readonly Run[]
  /** With the revision that the table has. */
  readonly changed: readonly Stored[]
  readonly removed: readonly Run[]
  readonly payloads: readonly PayloadRow[]
  readonly steps: readonly StepRow[]
  /** Jobs whose steps are dropped. */
  readonly stepless: readonly Pick<StepRow, 'runId' | 'jobIndex'>[]
  readonly queued: readonly QueueRow[]
  readonly unqueued: readonly QueueRow[]
  readonly held: readonly HolderRow[]
  readonly unheld: readonly HolderRow[]
  readonly deliveries: readonly NewDelivery[]
  readonly totals: Totals
  readonly starts: readonly TaskStart[]
  readonly changes: readonly RunChange[]
  /** Claims of jobs that were running and are cancelled. */
  readonly voided: readonly Claim[]
  /** Whether jobs were queued, and whether one of them is due at once. */
  readonly newWork: 'none' | 'later' | 'due'
}

export type UnitOfWork = ReturnType<typeof createUnitOfWork>

export function createUnitOfWork(loaded: readonly Stored[]) {
  const before = new Map(loaded.map((stored) => [stored.run.id, stored]))
  const now = new Map(loaded.map(({ run }) => [run.id, run]))
  const removed = new Set<string>()
  const changes = new Map<string, RunChange>()
  const steps: StepRow[] = []
  const deliveries: NewDelivery[] = []
  const starts: TaskStart[] = []

  return {
    /** As earlier verbs left it; null where it was not loaded. */
    find: (runId: string): Run | null => (removed.has(runId) ? null : (now.get(runId) ?? null)),
    add(run: Run): void {
      if (now.has(run.id)) throw new Error(`the run ${run.id} was accepted before`)
      now.set(run.id, run)
    },
    /** Replaces a run that was found by its changed version. */
    save(run: Run): void {
      const old = now.get(run.id)
      if (old === undefined) throw new Error(`the run ${run.id} was not loaded`)
      if (old === run) return
      now.set(run.id, run)
      if (run.version === old.version) return
      // With each change, not at the end: a run that ends can be retried in the same transaction.
      const due = deliveryOfEnd(old, run)
      if (due !== null) deliveries.push(due)
      changes.set(run.id, changeOf(old, run, changes.get(run.id)))
    },
    /** Stores the step that the record of the run has just counted. */
    addStep({ runId, jobIndex }: Claim, { name, value }: Step, at: number): void {
      const count = now.get(runId)?.jobs[jobIndex]?.steps?.count
      if (count === undefined) throw new Error(`the run ${runId} has no step`)
      steps.push({ runId, jobIndex, place: count - 1, name, at, value })
    },
    /** Notes that jobs of tasks with a rate start. */
    noteStarts: (more: readonly TaskStart[]): void => void starts.push(...more),
    remove: ({ id }: Run): void => void removed.add(id),
    /** Runs that were loaded, as they are now. */
    loaded: (): Run[] => [...now.values()].filter(({ id }) => before.has(id) && !removed.has(id)),
    isAdded: ({ id }: Run): boolean => now.has(id) && !before.has(id),
    /** Runs that were added, as they are now. */
    added: (): Run[] => [...now.values()].filter(({ id }) => !before.has(id)),
    finish(): Writes {
      const derived = createDerived()
      const added: Run[] = []
      const changed: Stored[] = []
      for (const [id, run] of now) {
        const stored = before.get(id)
        if (removed.has(id)) derived.forget(stored?.run ?? run)
        else if (stored === undefined) added.push(derived.differ(null, run))
        else if (stored.run !== run) changed.push({ run: derived.differ(stored.run, run), revision: stored.revision })
      }
      const gone = [...removed].flatMap((id) => before.get(id)?.run ?? [])
      // A retry may have been requested in the same transaction.
      const keptSteps = steps.filter(({ runId, jobIndex }) => hasSteps(now.get(runId), jobIndex) && !removed.has(runId))
      const due = deliveries.filter(({ runId }) => !removed.has(runId))
      const kept = { steps: keptSteps, deliveries: due, starts, changes: [...changes.values()] }
      const voided = kept.changes.flatMap((change) => change.voided)
      return { added, changed, removed: gone, ...kept, ...derived.rows(), voided }
    },
  }
}

function hasSteps(run: Run | undefined, jobIndex: number): boolean {
  return run !== undefined && jobAt(run, jobIndex).steps !== null
}

type DerivedRows = Omit<
  Writes,
  'added' | 'changed' | 'removed' | 'steps' | 'deliveries' | 'starts' | 'changes' | 'voided'
>

/** Collects the differences in rows that are derived from records. */
function createDerived() {
  const payloads: PayloadRow[] = []
  const stepless: Pick<StepRow, 'runId' | 'jobIndex'>[] = []
  const queued: QueueRow[] = []
  const unqueued: QueueRow[] = []
  const held: HolderRow[] = []
  const unheld: HolderRow[] = []
  const totals = emptyTotals()
  let newWork: Writes['newWork'] = 'none'

  function differInQueue(before: QueueRow | null, after: QueueRow | null): void {
    if (before !== null && after !== null && isSameRow(before, after)) return
    if (before !== null) unqueued.push(before)
    if (after === null) return
    queued.push(after)
    if (newWork !== 'due') newWork = after.isDue ? 'due' : 'later'
  }

  return {
    /** Returns the run as it is written, without texts that are kept apart. */
    differ(before: Run | null, after: Run): Run {
      const { id: runId } = after
      const isRecordFull = isFull(before ?? after)
      let run = after
      for (const [index, job] of after.jobs.entries()) {
        const old = before === null ? null : jobAt(before, index)
        if (job === old) continue
        const row = (part: number, text: string | null): void =>
          void payloads.push({ runId, jobIndex: index, part, text })
        const kept = setApart(old, job, isRecordFull, { put: row, drop: (part) => row(part, null) })
        if (kept !== job) run = { ...run, jobs: run.jobs.with(index, kept) }
        if (old !== null && old.steps !== null && kept.steps === null) stepless.push({ runId, jobIndex: index })
        differInQueue(old && queueRow(runId, old, index), queueRow(runId, kept, index))
        if (old?.state !== job.state) countJob(totals, old && old.state, job.state)
      }
      const [had, has] = [holdersOf(before), holdersOf(after)]
      for (const process of has) if (!had.has(process)) held.push({ process, runId })
      for (const process of had) if (!has.has(process)) unheld.push({ process, runId })
      if (before?.state !== run.state) countRun(totals, before && before.state, run.state)
      return run
    },
    /** As it was loaded: it may have ended in this transaction. */
    forget(run: Run): void {
      for (const [index, job] of run.jobs.entries()) {
        differInQueue(queueRow(run.id, job, index), null)
        countJob(totals, job.state, null)
      }
      for (const process of holdersOf(run)) unheld.push({ process, runId: run.id })
      countRun(totals, run.state, null)
    },
    rows: (): DerivedRows => ({ payloads, stepless, queued, unqueued, held, unheld, totals, newWork }),
  }
}

function queueRow(runId: string, job: Job, jobIndex: number): QueueRow | null {
  const { kind, priority, task, runAt, lostStarts } = job
  if (runAt === null) return null
  const lost = lostStarts === 0 ? 0 : isSuspect(job) ? 2 : 1
  return {
    kind,
    priority,
    isDue: isDueAtOnce(job),
    task,
    runAt,
    since: waitsSince(job),
    runId,
    jobIndex,
    lost,
    expiresAt: expiresAt(job),
  }
}

/** Whether a waiting job is due on every clock: it waits for no instant, or has been due before. */
function isDueAtOnce({ state, claim, runAt, queuedAt }: Job): boolean {
  return state === 'queued' && (claim > 0 || runAt === null || runAt <= queuedAt)
}

function isSameRow(one: QueueRow, other: QueueRow): boolean {
  return (
    one.runAt === other.runAt &&
    one.isDue === other.isDue &&
    one.lost === other.lost &&
    one.expiresAt === other.expiresAt
  )
}

function holdersOf(run: Run | null): ReadonlySet<number> {
  const holders = new Set<number>()
  for (const { holder } of run?.jobs ?? []) if (holder !== null) holders.add(holder)
  return holders
}
