/**
 * Maintenance, once a second: reads the backlog, detects dead processes and takes back their jobs, shortens waits that a
 * step of a clock has made longer, and adds up the totals of processes that have left.
 */
import type { Claim } from '../../domain/claim.ts'
import type { RescueReport } from '../store.ts'
import { heartbeatText, isAbandoned, type Lease } from './ownership/lease.ts'
import { boundWaits, compareClaims, rescue } from './ownership/recovery.ts'
import type { Parts } from './parts.ts'
import { boundDeliveries } from './statements/deliveries.ts'
import { runsHere } from './statements/queue.ts'
import { readRun } from './statements/read.ts'
import { isNotPaused } from './statements/tasks.ts'
import { foldTotals } from './statements/totals.ts'
import type { BatchWriter } from './writing/batch-writer.ts'
import type { CommitEffects } from './writing/commit-effects.ts'

interface MaintenanceOptions extends Parts {
  readonly intake: BatchWriter
  readonly settling: BatchWriter
  readonly lease: Lease
  readonly effects: CommitEffects
}

// In rounds. A process has no claims to compare in its first round, which does all the rest.
const compareEvery = 10
const foldEvery = 600
/** Waits are also checked without a step of this machine's clock: the clock of another machine may have stepped. */
const waitsEvery = 60
/** Runs in one transaction that shortens waits: no job is settled meanwhile. */
const maxBoundRuns = 1_000
/** Tolerated difference between the clocks of two machines. */
const toleranceMs = 1_000

const selectAbandoned = {
  name: 'select-abandoned',
  text: `SELECT 1 FROM holder WHERE process <> $1 AND ${isAbandoned('$2')} LIMIT 1`,
}
const selectSuspects = {
  name: 'select-suspects',
  text: `
    SELECT 1 FROM queue WHERE lost = 2 AND (is_due OR run_at <= $1) AND ${runsHere('task', '$2')}
      AND ${isNotPaused('queue.task')} LIMIT 1`,
}
/** Counts all suspects, also those that are not due, or are of tasks that do not run here. */
const countSuspects = { name: 'count-suspects', text: 'SELECT count(*) AS suspects FROM queue WHERE lost = 2' }
// Waits that began in the future: this clock was set back since then, or the clock of another machine was ahead. A shortened
// wait keeps the instant when it began, and ends before it: it is left out.
const selectAhead = {
  name: 'select-waits-ahead',
  text: `
    SELECT DISTINCT run FROM queue
    WHERE NOT is_due AND run_at > $1 AND waits_since > $1 + ${toleranceMs} AND run_at >= waits_since`,
}
// After an hour of silence a process is gone, not just cut off by its network.
const forgetProcesses = {
  name: 'forget-processes',
  text: `
    DELETE FROM process
    WHERE heartbeat_at < clock_timestamp() - interval '1 hour' AND ${heartbeatText} = ANY ($1::text[])`,
}
/** The reported change of a removed run: subscribers read the run, and find that it is gone. */
const removed = { version: 0, state: 'running', answer: null } as const

export function createMaintenance(options: MaintenanceOptions) {
  const { processId, tasks, timing, query, intake, settling, lease, processes, owned, decoder, clock, log } = options
  const { quarantine, effects, subscribers, inbox, backlog, pausedTasks } = options
  const { leaseMs, roundMs } = timing
  const aheadOfMonotonic = (): number => clock.now() - performance.now()
  let lastAhead = aheadOfMonotonic()
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let underWay = Promise.resolve()
  let rounds = 0
  let lostClaims = 0

  /**
   * Heartbeats of dead processes, which have been silent for `leaseMs`. After an outage of the database all leases look dead, so there are none until this process
   * has kept its own lease for `leaseMs`: the others had as much time to renew theirs.
   */
  const deadHeartbeats = (): string[] => (lease.keptForMs() >= leaseMs ? processes.silentFor(leaseMs) : [])

  /** Takes back the jobs of dead processes. */
  async function takeOver(at: number): Promise<RescueReport> {
    const report = await settling.submitAlone(rescue(processId, decoder, deadHeartbeats(), at))
    await boundDeliveries(query, at)
    const suspects = Number((await query(countSuspects))[0]?.['suspects'])
    quarantine.noteSuspects(suspects > 0)
    return { ...(report as Omit<RescueReport, 'suspects'>), suspects }
  }

  /**
   * Compares the claims in the database with those of this process: the job of an orphan is handed back, and the attempt of
   * a missing claim ends.
   */
  async function compareOwned(): Promise<void> {
    effects.clearOrphans()
    // Alone, and so after each claim under way: its jobs would look like orphans until this process has the reply.
    const compare = compareClaims(processId, decoder, owned, clock.now())
    const missing = (await intake.submitAlone(compare)) as readonly Claim[]
    // A claim is also missing when its job was just settled. This process knows that when the outcome has its reply.
    await settling.earlierReplies()
    for (const claim of missing) {
      const { runId } = claim
      // Read first: if the read fails, the claim is not marked void, and the next comparison finds it again.
      const { version, state, answer } = (await readRun(query, runId)) ?? removed
      if (!owned.markVoid(claim)) continue
      lostClaims += 1
      subscribers.change([{ runId, version, state, isAnswered: answer !== null, voided: [claim] }])
    }
  }

  async function maintain(): Promise<void> {
    rounds += 1
    await Promise.all([backlog.refresh(query), pausedTasks.refresh(), inbox.look()])
    if (effects.hasOrphans() || rounds % compareEvery === 0) await compareOwned()
    await processes.look(query)
    const silent = processes.silentFor(leaseMs)
    if (lease.keptForMs() >= leaseMs && (await query(selectAbandoned, [processId, silent])).length > 0) {
      const { requeued, crashed, suspects } = await takeOver(clock.now())
      if (requeued + crashed > 0) {
        log.warn({ requeued, crashed, suspects }, 'took back the jobs of a process that died')
        subscribers.takeover(requeued + crashed)
      }
    }
    await boundAllWaits()
    quarantine.noteSuspects((await query(selectSuspects, [clock.now(), tasks])).length > 0)
    if (rounds % foldEvery === 1) {
      await query(forgetProcesses, [silent])
      await query(foldTotals)
    }
  }

  /** Shortens waits after this clock was set back, and once a minute. */
  async function boundAllWaits(): Promise<void> {
    const ahead = aheadOfMonotonic()
    if (ahead < lastAhead - toleranceMs || rounds % waitsEvery === 1) {
      const at = clock.now()
      await boundDeliveries(query, at)
      const runIds = (await query(selectAhead, [at])).map(({ run }) => String(run))
      for (let start = 0; start < runIds.length; start += maxBoundRuns) {
        await settling.submitAlone(boundWaits(runIds.slice(start, start + maxBoundRuns), decoder, at))
      }
    }
    // Not set after a failure: the next round tries again.
    lastAhead = ahead
  }

  function round(): void {
    underWay = maintain()
      // The next round tries again; verbs that fail meanwhile report the error.
      .catch((error: unknown) => log.debug({ err: error }, 'the maintenance of the database failed'))
      .then(() => {
        if (isStopped) return
        // A notification of waiting jobs may have been missed.
        effects.wakeForWork()
        timer = setTimeout(round, roundMs)
      })
  }

  return {
    start: (): void => void (timer = setTimeout(round, roundMs)),
    /** Resolves when no round is under way. */
    async stop(): Promise<void> {
      isStopped = true
      clearTimeout(timer)
      await underWay
    },
    deadHeartbeats,
    takeOver,
    compareOwned,
    /** Claims of this process that ended without a notification, since it started. */
    lostClaims: (): number => lostClaims,
  }
}
