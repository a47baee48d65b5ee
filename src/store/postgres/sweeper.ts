/** What this process looks after once a second: the backlog, jobs of processes that died, and totals of those that left. */
import type { Clock } from '../../domain/clock.ts'
import type { Log } from '../../log.ts'
import type { RescueReport } from '../store.ts'
import type { Backlog } from './backlog.ts'
import { isSuspicious } from './claim.ts'
import type { Query } from './connection.ts'
import { additions, columnList, sumColumns } from './counts.ts'
import { heartbeatText, isAbandoned, type Heartbeats } from './heartbeats.ts'
import type { Lease } from './lease.ts'
import type { Limits } from './limits.ts'
import { runsHere } from './queues.ts'
import type { SteppedWaits } from './stepped-waits.ts'

export interface Sweeper {
  start(): void
  /** Resolves when no round is under way. */
  stop(): Promise<void>
}

export interface SweeperOptions {
  readonly limits: Limits
  readonly owner: string
  /** That run here; null: any. */
  readonly tasks: readonly string[] | null
  readonly query: Query
  readonly backlog: Backlog
  readonly lease: Lease
  readonly heartbeats: Heartbeats
  readonly steppedWaits: SteppedWaits
  readonly log: Log
  /** Takes back the jobs of processes that have been silent for too long. */
  readonly rescue: () => Promise<RescueReport>
  /** Holds what this process owns against what it runs. */
  readonly reclaim: () => Promise<void>
  readonly isInDoubt: () => boolean
  /** Whether suspects are due. */
  readonly onSuspects: (wait: boolean) => void
  readonly clock: Clock
  /** There may be jobs to claim of which nobody has told. */
  readonly onRound: () => void
}

const reclaimEvery = 10
const foldEvery = 600

const selectAbandoned = {
  name: 'select-abandoned',
  text: `
    SELECT 1 FROM job WHERE owner IS NOT NULL AND owner <> $1 AND ${isAbandoned('$2')} LIMIT 1`,
}
const selectSuspects = {
  name: 'select-suspects',
  text: `
    SELECT 1 FROM job WHERE lost_starts > 0 AND run_at IS NOT NULL AND (is_due OR run_at <= $1) AND ${isSuspicious}
      AND ${runsHere('task', '$2')} LIMIT 1`,
}
// A process that was silent for so long is none that a network kept away for a while.
const forgetProcesses = {
  name: 'forget-processes',
  text: `
    DELETE FROM process
    WHERE heartbeat_at < clock_timestamp() - interval '1 hour' AND ${heartbeatText} = ANY ($1::text[])`,
}
const foldTallies = {
  name: 'fold-tallies',
  text: `
    WITH gone AS (
      DELETE FROM tally WHERE owner <> 'gone' AND split_part(owner, ' ', 1) NOT IN (SELECT id::text FROM process)
      RETURNING *)
    INSERT INTO tally AS t (owner, ${columnList}) SELECT 'gone', ${sumColumns} FROM gone
    ON CONFLICT (owner) DO UPDATE SET ${additions}`,
}

export function createSweeper(options: SweeperOptions): Sweeper {
  const { limits, owner, tasks, query, backlog, lease, log, rescue, reclaim, isInDoubt, onSuspects, onRound, clock } =
    options
  const { heartbeats, steppedWaits } = options
  const { leaseMs, roundMs } = limits
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let sweeping = Promise.resolve()
  let rounds = 0

  async function sweep(): Promise<void> {
    rounds += 1
    await backlog.refresh(query)
    if (isInDoubt() || rounds % reclaimEvery === 0) await reclaim()
    await heartbeats.look(query)
    const silent = heartbeats.unchangedFor(leaseMs)
    if (lease.keptForMs() >= leaseMs && (await query(selectAbandoned, [owner, silent])).length > 0) {
      const { requeued, crashed, suspects } = await rescue()
      if (requeued + crashed > 0) log.warn({ requeued, crashed, suspects }, 'took back the jobs of a process that died')
    }
    await steppedWaits.look(query)
    onSuspects((await query(selectSuspects, [clock.now(), tasks])).length > 0)
    if (rounds % foldEvery === 1) {
      await query(forgetProcesses, [silent])
      await query(foldTallies)
    }
  }

  function round(): void {
    sweeping = sweep()
      // The next round tries again, and who asks for something meanwhile hears of it.
      .catch((error: unknown) => log.debug({ err: error }, 'the database could not be looked after'))
      .then(() => {
        if (isStopped) return
        onRound()
        timer = setTimeout(round, roundMs)
      })
  }

  return {
    start: () => void (timer = setTimeout(round, roundMs)),
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await sweeping
    },
  }
}
