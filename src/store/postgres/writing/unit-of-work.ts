/**
 * The unit of work of one transaction: operations change runs here, one after the other. At the end each changed run is
 * written once, with the differences in everything that is derived from it.
 */
import type { Claim, Step } from '../../../domain/claim.ts'
import { deliveryOfEnd, changeOf } from '../../../domain/run/verbs.ts'
import type { NewDelivery, RunChange } from '../../../domain/run.ts'
import { jobAt, type Job, type Run } from '../../../domain/run/aggregate.ts'
import { expiresAt, isSuspect, waitsSince } from '../../../domain/run/transitions.ts'
import type { TaskKind } from '../../../domain/task.ts'
import { isFull, setApart } from '../../apart.ts'
import type { TaskStart } from '../statements/tasks.ts'
import { countJob, countRun, emptyTotals, type Totals } from '../../totals.ts'

/** A record, with the revision that the table has. */
export interface Stored {
  readonly run: Run
  readonly revision: number
}

interface QueueRow {
  readonly kind: TaskKind
  readonly priority: number
  /** Whether the job is due on every clock. */
  readonly isDue: boolean
  readonly task: string
  readonly runAt: number
  /** Since when the job waits. */
  readonly since: number
  readonly runId: string
  readonly jobIndex: number
  /** 0: the job has lost no start; 1: it has; 2: it is a suspect. */
  readonly lost: 0 | 1 | 2
  /** null: never. */
  readonly expiresAt: number | null
}

interface PayloadRow {
  readonly runId: string
  readonly jobIndex: number
  readonly part: number
  /** null: the row is deleted. */
  readonly text: string | null
}

interface HolderRow {
  readonly processId: number
  readonly runId: string
}

interface StepRow {
  readonly runId: string
  readonly jobIndex: number
  /** Position among the steps of the job. */
  readonly index: number
  readonly name: string
  readonly at: number
  readonly value: string
}

/** The rows that are derived from records, as differences. */
interface DerivedWrites {
  readonly payloads: readonly PayloadRow[]
  /** Jobs whose steps are deleted. */
  readonly stepless: readonly Pick<StepRow, 'runId' | 'jobIndex'>[]
  readonly queued: readonly QueueRow[]
  readonly unqueued: readonly QueueRow[]
  readonly held: readonly HolderRow[]
  readonly unheld: readonly HolderRow[]
  readonly totals: Totals
  /** Whether jobs were queued, and whether one of them is due at once. */
  readonly newWork: 'none' | 'later' | 'due'
}

/** Everything that the transaction writes. */
export interface Writes extends DerivedWrites {
  readonly added: readonly Run[]
  /** With the revisions that the table has. */
  readonly changed: readonly Stored[]
  readonly removed: readonly Run[]
  readonly steps: readonly StepRow[]
  readonly deliveries: readonly NewDelivery[]
  readonly starts: readonly TaskStart[]
  readonly changes: readonly RunChange[]
  /** Claims of running jobs that were cancelled. */
  readonly voided: readonly Claim[]
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

  function runOf(runId: string): Run {
    const run = now.get(runId)
    if (run === undefined) throw new Error(`the run ${runId} was not loaded`)
    return run
  }

  const added = (): Run[] => [...now.values()].filter(({ id }) => !before.has(id) && !removed.has(id))

  return {
    /** The run as earlier operations left it; null if it was removed or not loaded. */
    find: (runId: string): Run | null => (removed.has(runId) ? null : (now.get(runId) ?? null)),
    add(run: Run): void {
      if (now.has(run.id)) throw new Error(`the run ${run.id} was accepted before`)
      now.set(run.id, run)
    },
    /** Replaces a run by its changed version. */
    save(run: Run): void {
      const old = runOf(run.id)
      if (old === run) return
      now.set(run.id, run)
      if (run.version === old.version) return
      // Noted at each change, not at the end: a run that has ended can be retried in the same transaction.
      const due = deliveryOfEnd(old, run)
      if (due !== null) deliveries.push(due)
      changes.set(run.id, changeOf(old, run, changes.get(run.id)))
    },
    /** Stores the step that the run has just counted. */
    addStep({ runId, jobIndex }: Claim, { name, value }: Step, at: number): void {
      const { steps: counted } = jobAt(runOf(runId), jobIndex)
      if (counted === null) throw new Error(`the run ${runId} has no step`)
      steps.push({ runId, jobIndex, index: counted.count - 1, name, at, value })
    },
    /** Notes that jobs of tasks with a rate start. */
    noteStarts: (more: readonly TaskStart[]): void => void starts.push(...more),
    remove: ({ id }: Run): void => void removed.add(id),
    /** The loaded runs as they are now. */
    loaded: (): Run[] => [...now.values()].filter(({ id }) => before.has(id) && !removed.has(id)),
    isAdded: ({ id }: Run): boolean => !before.has(id),
    /** The added runs as they are now. */
    added,
    finish(): Writes {
      const derived = createDerivedWrites()
      const changed: Stored[] = []
      for (const { run: old, revision } of before.values()) {
        const run = runOf(old.id)
        if (removed.has(old.id)) derived.forget(old)
        else if (run !== old) changed.push({ run: derived.addDifferences(old, run), revision })
      }
      const addedRuns = added().map((run) => derived.addDifferences(null, run))
      // A retry that was requested in the same transaction drops the steps of its job.
      const isKept = ({ runId, jobIndex }: StepRow): boolean =>
        !removed.has(runId) && jobAt(runOf(runId), jobIndex).steps !== null
      const runChanges = [...changes.values()]
      return {
        ...derived.writes(),
        added: addedRuns,
        changed,
        removed: [...removed].flatMap((id) => before.get(id)?.run ?? []),
        steps: steps.filter(isKept),
        deliveries: deliveries.filter(({ runId }) => !removed.has(runId)),
        starts,
        changes: runChanges,
        voided: runChanges.flatMap((change) => change.voided),
      }
    },
  }
}

function createDerivedWrites() {
  const payloads: PayloadRow[] = []
  const stepless: Pick<StepRow, 'runId' | 'jobIndex'>[] = []
  const queued: QueueRow[] = []
  const unqueued: QueueRow[] = []
  const held: HolderRow[] = []
  const unheld: HolderRow[] = []
  const totals = emptyTotals()
  let newWork: Writes['newWork'] = 'none'

  function moveInQueue(before: QueueRow | null, after: QueueRow | null): void {
    if (before !== null && after !== null && isSameRow(before, after)) return
    if (before !== null) unqueued.push(before)
    if (after === null) return
    queued.push(after)
    if (newWork !== 'due') newWork = after.isDue ? 'due' : 'later'
  }

  return {
    /** Adds the differences between two versions of a run. @returns the run to write, without texts that are kept apart */
    addDifferences(before: Run | null, after: Run): Run {
      const { id: runId } = after
      const isRecordFull = isFull(before ?? after)
      // Becomes the run to write: its jobs are replaced by those whose texts were set apart.
      let run = after
      for (const [index, job] of after.jobs.entries()) {
        const old = before === null ? null : jobAt(before, index)
        if (job === old) continue
        const row = (part: number, text: string | null): void =>
          void payloads.push({ runId, jobIndex: index, part, text })
        const rows = { put: row, drop: (part: number) => row(part, null) }
        const kept = setApart(job, { before: old, isRecordFull }, rows)
        if (kept !== job) run = { ...run, jobs: run.jobs.with(index, kept) }
        if (old?.steps && kept.steps === null) stepless.push({ runId, jobIndex: index })
        moveInQueue(old && queueRow(runId, old, index), queueRow(runId, kept, index))
        if (old?.state !== job.state) countJob(totals, old && old.state, job.state)
      }
      const [had, has] = [holdersOf(before), holdersOf(after)]
      for (const processId of has) if (!had.has(processId)) held.push({ processId, runId })
      for (const processId of had) if (!has.has(processId)) unheld.push({ processId, runId })
      if (before?.state !== run.state) countRun(totals, before && before.state, run.state)
      return run
    },
    /** Deletes the rows of a removed run. @param run as it was loaded: it may have changed in this transaction */
    forget(run: Run): void {
      for (const [index, job] of run.jobs.entries()) {
        moveInQueue(queueRow(run.id, job, index), null)
        countJob(totals, job.state, null)
      }
      for (const processId of holdersOf(run)) unheld.push({ processId, runId: run.id })
      countRun(totals, run.state, null)
    },
    writes: (): DerivedWrites => ({ payloads, stepless, queued, unqueued, held, unheld, totals, newWork }),
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

/** Whether a waiting job is due on every clock: it waits for no instant, or was due before. */
function isDueAtOnce({ state, claim, runAt, queuedAt }: Job): boolean {
  return state === 'queued' && (claim > 0 || runAt === null || runAt <= queuedAt)
}

/** @param one and `other`, of the same job */
function isSameRow(one: QueueRow, other: QueueRow): boolean {
  const members = ['runAt', 'isDue', 'lost', 'expiresAt'] as const
  return members.every((member) => one[member] === other[member])
}

function holdersOf(run: Run | null): ReadonlySet<number> {
  const holders = new Set<number>()
  for (const { holder } of run?.jobs ?? []) if (holder !== null) holders.add(holder)
  return holders
}
