/**
 * The engine that several processes share, as the rest of the service sees it: two lanes that write in groups, a few
 * connections that read, one that hears of the others' commits, and a thread that keeps the right to the claimed jobs.
 */
import { randomUUID } from 'node:crypto'
import type { Claim } from '../../domain/claim.ts'
import type { Clock } from '../../domain/clock.ts'
import { AppError, BootError } from '../../domain/errors.ts'
import type { RunRecord } from '../../domain/run.ts'
import { createTurnScheduler } from '../../domain/turn-scheduler.ts'
import type { Log } from '../../log.ts'
import type { StallOptions } from '../stall-watch.ts'
import type { CancelResult } from '../../domain/run/transitions.ts'
import type { AcceptReport, RescueReport, RetryResult, Settled, Store } from '../store.ts'
import { createAftermath } from './aftermath.ts'
import { createBacklog } from './backlog.ts'
import { createBeside, type Beside } from './beside.ts'
import { prepareDatabase } from './boot.ts'
import { claimJobsOf } from './claim-rounds.ts'
import { createConnect, loadPg } from './connection.ts'
import { createContainment } from './containment.ts'
import { prune, remove } from './forget.ts'
import { createHeartbeats } from './heartbeats.ts'
import { createHeld } from './held.ts'
import { defer } from './keys.ts'
import { createLanes, laneNames, rowsOf, type Lanes } from './lanes.ts'
import { leave } from './leave.ts'
import { createLease, type Lease } from './lease.ts'
import { defaultLimits, type Limits } from './limits.ts'
import { createListener, type Listener } from './notification-listener.ts'
import { createSubscribers } from './subscribers.ts'
import { decodeNotice, encodeNotice, notify } from './notices.ts'
import { isMoving, runIdOf, type Admission, type Settling } from './operations.ts'
import { transact } from './prepared.ts'
import { createRemoteProgress } from './remote-progress.ts'
import { listRuns, readJob, readStats } from './read.ts'
import { createReadiness } from './readiness.ts'
import { createReader, type Reader } from './reader.ts'
import { createReclaim } from './reclaim.ts'
import { prepareRescue } from './rescue.ts'
import { createSettlements } from './settlements.ts'
import { createSteppedWaits } from './stepped-waits.ts'
import { createSweeper, type Sweeper } from './sweeper.ts'
import { rowOf } from './transaction.ts'
import { createWaiting } from './waiting.ts'
import { createWorkTeller } from './work-teller.ts'

export interface PostgresOptions {
  /** `postgres://…` */
  readonly url: string
  /** Where its tables are: several services can share one database. */
  readonly schema: string
  /** How long to wait at the start for a server that does not answer, in milliseconds. */
  readonly connectWaitMs: number
  readonly limits?: Partial<Limits>
  /** Tasks that run here: no job of another one is claimed. Default: any. */
  readonly tasks?: readonly string[]
  readonly clock: Clock
  readonly log: Log
  /** Ends the process when the main thread stands still; default: nobody watches. */
  readonly stall?: StallOptions
  /** Called with each group that has ended: how many verbs it held, and how long it took, in milliseconds. */
  readonly onCommit?: (verbs: number, tookMs: number) => void
  /** Called when the lease cannot be kept any more: jobs that run here are soon taken by others. */
  readonly onLost: (error: Error) => void
}

/** What follows a reply is up to a tenth of a millisecond of work each. */
const answersPerTurn = 32

interface Parts {
  readonly lanes: Lanes
  readonly reader: Reader
  readonly beside: Beside
  readonly listener: Listener
  readonly lease: Lease
  readonly sweeper: Sweeper
}

export function createPostgresStore(options: PostgresOptions): Store {
  const { url, schema, tasks = null, clock, log, onLost } = options
  const limits = { ...defaultLimits, ...options.limits }
  const { leaseMs } = limits
  const owner = randomUUID()
  const channel = `forerunner ${schema}`
  const backlog = createBacklog(rowsOf(owner))
  const waiting = createWaiting()
  const held = createHeld()
  const heartbeats = createHeartbeats()
  const containment = createContainment(held, limits.aloneMs)
  const settlements = createSettlements(held)
  const readiness = createReadiness(limits)
  const remoteProgress = createRemoteProgress()
  const turns = createTurnScheduler(answersPerTurn)
  const listeners = createSubscribers(turns)
  const workTeller = createWorkTeller(owner, laneNames.intake, sendNotices)
  const known = { owner, backlog, waiting, held, settlements }
  const aftermath = createAftermath({ ...known, listeners, workTeller })
  const { wakeForWork } = aftermath
  const reclaiming = createReclaim({ held, aftermath, listeners, clock })
  let parts: Parts | null = null
  let starting: Promise<Parts> | null = null
  let closing: Promise<void> | null = null
  async function sendNotices(messages: readonly string[]): Promise<void> {
    await parts?.reader.query(notify, [channel, messages])
  }

  async function onNotice(text: string): Promise<void> {
    const notice = decodeNotice(text, owner)
    if (notice === null) return
    if (notice.type === 'progress') return remoteProgress.hear(notice.progress)
    const { from, lane, live, changes, voided, hasWork } = notice
    backlog.hear(rowOf({ owner: from, lane }), live)
    // What this process is just claiming must be known to whoever runs it before he can be told to stop.
    if (voided.length > 0) await parts?.lanes.intake.settled()
    // Where the job runs under another claim by now, that one goes on.
    const ended = Map.groupBy(voided.filter(held.void), ({ runId }) => runId)
    listeners.change(
      changes.map((change) => {
        return { ...change, voided: ended.get(change.runId) ?? [] }
      }),
    )
    if (hasWork) wakeForWork()
  }

  async function rescue(at: number): Promise<RescueReport> {
    const { lanes, lease } = opened()
    // After an outage all leases look dead: every process gets the time to renew its own, as this one did.
    const silent = lease.keptForMs() >= leaseMs ? heartbeats.unchangedFor(leaseMs) : []
    const report = (await lanes.settling.askAlone(transact(prepareRescue(silent, at)))) as RescueReport
    containment.look(report.suspects > 0)
    return report
  }

  const reclaim = async (): Promise<void> => reclaiming.run(opened())

  function onGap(): void {
    listeners.gap()
    wakeForWork()
    reclaim().catch((error: unknown) => log.debug({ err: error }, 'the own jobs could not be looked through'))
  }

  async function start(): Promise<Parts> {
    const pg = await loadPg()
    const database = { url, schema, limits }
    const connect = createConnect(pg, database)
    await prepareDatabase(connect, database, { owner, rows: rowsOf(owner), tasks, waitMs: options.connectWaitMs })
    const reader = createReader(pg, database)
    const lanes = createLanes(
      {
        limits,
        connect,
        owner,
        channel,
        ...aftermath,
        onCommitted(outcome, operations, lane) {
          readiness.noteCommitted(lane, outcome.commits)
          aftermath.onCommitted(outcome, operations, lane)
        },
        onUnavailable: readiness.noteFailure,
        onGroup: (...group) => options.onCommit?.(...group),
        defer: turns.run,
      },
      waiting,
    )
    const { intake, settling } = lanes
    const beside = createBeside([intake, settling], reader)
    const listener = createListener({ connect, channel, onMessage: (text) => void onNotice(text), onGap })
    const lease = createLease({ ...database, owner, tasks, stall: options.stall ?? null, onLost })
    const sweeper = createSweeper({
      limits,
      owner,
      tasks,
      query: reader.query,
      backlog,
      lease,
      log,
      rescue: () => rescue(clock.now()),
      heartbeats,
      steppedWaits: createSteppedWaits(clock),
      reclaim,
      isInDoubt: () => aftermath.hasOrphans() || intake.isInDoubt() || settling.isInDoubt(),
      onSuspects: containment.look,
      onRound: wakeForWork,
      clock,
    })
    const started = { lanes, reader, beside, listener, lease, sweeper }
    try {
      await Promise.all([listener.start(), lease.start(), backlog.refresh(reader.query)])
    } catch (error) {
      await stop(started)
      throw new BootError('the database stopped answering', error)
    }
    sweeper.start()
    return started
  }

  async function stop({ lanes: { intake, settling }, reader, beside, listener, lease, sweeper }: Parts): Promise<void> {
    await sweeper.stop()
    await Promise.all([intake.settled(), settling.settled()])
    await beside.ended()
    await Promise.all([intake.close(), settling.close(), listener.stop(), lease.stop()])
    // Whatever it could not hand back is free at once.
    await reader.query({ text: 'DELETE FROM process WHERE id = $1' }, [owner]).catch(() => {})
    await reader.end()
  }

  function opened(): Parts {
    if (parts === null || closing !== null) throw new AppError('store-unavailable', 'the store is not open')
    return parts
  }

  async function admit(operation: Admission): Promise<unknown> {
    return opened().lanes.intake.ask(operation)
  }

  async function move(operation: Settling): Promise<unknown> {
    return opened().lanes.settling.ask(operation)
  }

  async function settle(operation: Settling & { readonly args: readonly [Claim, ...unknown[]] }): Promise<Settled> {
    const settled = (await move(operation)) as Settled
    return settled === 'stale' && settlements.wasLate(operation.args[0]) ? 'settled' : settled
  }

  async function getRun(id: string): Promise<RunRecord | null> {
    const { lanes, beside } = opened()
    const last = lanes.settling.lastWaiting()
    // Asked for right behind what settles one of its jobs: it travels with that.
    if (last !== null && isMoving(last) && runIdOf(last) === id) {
      return (await move({ verb: 'getRun', args: [id] })) as RunRecord | null
    }
    return beside.readRun(id)
  }

  return {
    async open() {
      if (starting !== null) throw new Error('the store was opened before')
      starting = start()
      parts = await starting
    },
    async close() {
      starting ??= Promise.reject(new Error('the store was closed before it was opened'))
      closing ??= starting.then(stop, () => {})
      await closing
    },
    onChange: listeners.onChange,
    backlog: backlog.jobs,
    notifier: {
      onWork: listeners.onWork,
      onGap: listeners.onGap,
      async publishProgress(progress) {
        // A process that has missed it receives it again.
        await sendNotices(encodeNotice({ type: 'progress', from: owner, progress })).catch(() => {})
      },
      remoteProgress: remoteProgress.of,
      lostClaims: reclaiming.lostClaims,
    },

    accept: async (...args) => (await admit({ verb: 'accept', args })) as AcceptReport,
    claim: async (request) => claimJobsOf(opened().lanes.intake, containment, tasks, request),
    complete: (...args) => settle({ verb: 'complete', args }),
    fail: (...args) => settle({ verb: 'fail', args }),
    release: (...args) => settle({ verb: 'release', args }),
    cancel: async (...args) => (await move({ verb: 'cancel', args })) as CancelResult,
    retry: async (...args) => (await move({ verb: 'retry', args })) as RetryResult,
    leave: async (at) => opened().beside.write(({ query }) => leave(query, owner, at)),
    rescue,
    defer: async (runId) => opened().beside.write(({ query }) => defer(query, runId)),
    remove: async (runId) => opened().beside.write((reader) => reader.transact((query) => remove(query, runId, owner))),
    shiftDueTimes: () => Promise.resolve(),
    async checkWritable() {
      const { lanes, lease } = opened()
      // It is written every few seconds.
      if (lease.keptForMs() === 0) throw new AppError('store-unavailable', 'the lease could not be renewed')
      await readiness.probe([lanes.intake, lanes.settling])
    },
    async prune(finishedBefore, limit, at) {
      const what = { finishedBefore, limit, at }
      return opened().beside.write((reader) => reader.transact((query) => prune(query, owner, what)))
    },

    getRun,
    getJob: async (...args) => opened().beside.read((query) => readJob(query, ...args)),
    listRuns: async (filter) => opened().beside.read((query) => listRuns(query, filter)),
    stats: async (at) => opened().beside.read((query) => readStats(query, at)),
  }
}
