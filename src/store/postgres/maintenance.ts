/**
 * Work of each second: reads the backlog, detects dead processes and takes back their jobs, shortens waits that a step
 * of a clock has made longer, and adds up the totals of processes that have left.
 */
import type { Log } from '../../log.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { RescueReport } from '../store.ts'
import type { Limits, Query } from './connection/connection.ts'
import { type Heartbeats, heartbeatText, isAbandoned, type Lease } from './ownership/lease.ts'
import { runsHere } from './statements/queue.ts'
import { isNotPaused, type PausedTasks } from './statements/tasks.ts'
import { type Backlog, foldTotals } from './statements/totals.ts'
import { boundDeliveries } from './statements/deliveries.ts'

interface MaintenanceOptions {
  readonly limits: Limits
  /** Number of this process. */
  readonly process: number
  /** That run here; null: any. */
  readonly tasks: readonly string[] | null
  readonly query: Query
  readonly backlog: Backlog
  readonly pausedTasks: Pick<PausedTasks, 'refresh'>
  readonly lease: Lease
  readonly heartbeats: Heartbeats
  readonly log: Log
  /** Takes back the jobs of processes that have been silent for too long. */
  readonly rescue: () => Promise<RescueReport>
  /** Moves waits of these runs that began in the future. */
  readonly boundWaits: (runIds: readonly string[], at: number) => Promise<void>
  /** Compares what this process owns with what it runs. */
  readonly reclaim: () => Promise<void>
  readonly hasOrphans: () => boolean
  /** Whether suspects are due. */
  readonly onSuspects: (wait: boolean) => void
  /** Called with the number of jobs that were taken back. */
  readonly onTakeover: (jobs: number) => void
  readonly clock: Clock
  /** Requests may be waiting in the inbox without a notification. */
  readonly lookAtInbox: () => Promise<void>
  /** Called after each round: jobs may wait without a notification. */
  readonly onRound: () => void
}

const reclaimEvery = 10
const foldEvery = 600
/** Rounds between two checks of waits without a step of this clock: another machine's clock may have stepped. */
const waitsEvery = 60
/** Runs per transaction that moves waits, because nothing is settled meanwhile. */
const maxBound = 1_000
/** Clocks of two machines may differ by that much. */
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
const sumSuspects = { name: 'count-suspects', text: 'SELECT count(*) AS suspects FROM queue WHERE lost = 2' }
// Waits that began in the future: the clock was set back since, or was ahead on another machine. A wait that is due
// before it began was moved before.
const selectAhead = {
  name: 'select-waits-ahead',
  text: `
    SELECT DISTINCT run FROM queue
    WHERE NOT is_due AND run_at > $1 AND waits_since > $1 + ${toleranceMs} AND run_at >= waits_since`,
}
// After an hour of silence a process is gone, and not cut off by a network for a while.
const forgetProcesses = {
  name: 'forget-processes',
  text: `
    DELETE FROM process
    WHERE heartbeat_at < clock_timestamp() - interval '1 hour' AND ${heartbeatText} = ANY ($1::text[])`,
}
/** Waiting jobs that fail when they lose one more start. */
export async function countSuspects(query: Query): Promise<number> {
  return Number((await query(sumSuspects))[0]?.['suspects'])
}

export function createMaintenance(options: MaintenanceOptions) {
  const {
    limits,
    process,
    tasks,
    query,
    backlog,
    lease,
    log,
    rescue,
    reclaim,
    hasOrphans,
    onSuspects,
    onRound,
    onTakeover,
  } = options
  const { lookAtInbox, heartbeats, pausedTasks, boundWaits, clock } = options
  const { leaseMs, roundMs } = limits
  const aheadOfMonotonic = (): number => clock.now() - performance.now()
  let lastAhead = aheadOfMonotonic()
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let underWay = Promise.resolve()
  let rounds = 0

  async function maintain(): Promise<void> {
    rounds += 1
    await Promise.all([backlog.refresh(query), pausedTasks.refresh(), lookAtInbox()])
    if (hasOrphans() || rounds % reclaimEvery === 0) await reclaim()
    await heartbeats.look(query)
    const silent = heartbeats.unchangedFor(leaseMs)
    if (lease.keptForMs() >= leaseMs && (await query(selectAbandoned, [process, silent])).length > 0) {
      const { requeued, crashed, suspects } = await rescue()
      if (requeued + crashed > 0) {
        log.warn({ requeued, crashed, suspects }, 'took back the jobs of a process that died')
        onTakeover(requeued + crashed)
      }
    }
    await lookAtWaits()
    onSuspects((await query(selectSuspects, [clock.now(), tasks])).length > 0)
    if (rounds % foldEvery === 1) {
      await query(forgetProcesses, [silent])
      await query(foldTotals)
    }
  }

  async function lookAtWaits(): Promise<void> {
    const ahead = aheadOfMonotonic()
    if (ahead < lastAhead - toleranceMs || rounds % waitsEvery === 1) {
      const at = clock.now()
      await boundDeliveries(query, at)
      const runIds = (await query(selectAhead, [at])).map(({ run }) => String(run))
      for (let place = 0; place < runIds.length; place += maxBound) {
        await boundWaits(runIds.slice(place, place + maxBound), at)
      }
    }
    // After a failure the next round tries again.
    lastAhead = ahead
  }

  function round(): void {
    underWay = maintain()
      // The next round tries again; verbs that fail meanwhile report the error.
      .catch((error: unknown) => log.debug({ err: error }, 'the database could not be looked after'))
      .then(() => {
        if (isStopped) return
        onRound()
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
  }
}
