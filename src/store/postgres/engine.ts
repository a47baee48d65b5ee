/**
 * The engine that several processes share, as the rest of the service sees it: one lane that writes in groups, a few
 * connections that read, one that hears of the others' commits, and a thread that keeps the right to the claimed jobs.
 */
import { randomUUID } from 'node:crypto'
import type { Claim } from '../../domain/claim.ts'
import type { Clock } from '../../domain/clock.ts'
import { AppError, BootError } from '../../domain/errors.ts'
import type { RunChange } from '../../domain/run.ts'
import { createTurns } from '../../domain/turns.ts'
import type { Log } from '../../log.ts'
import type { StallOptions } from '../stall-watch.ts'
import type { AcceptReport, CancelResult, ClaimResult, RescueReport, RetryResult, Settled, Store } from '../store.ts'
import { createBacklog } from './backlog.ts'
import { createBeside, type Beside } from './beside.ts'
import { prepareDatabase } from './boot.ts'
import { createConnect, loadPg } from './connection.ts'
import { prune, remove } from './forget.ts'
import { createHeld } from './held.ts'
import { defer } from './keys.ts'
import { createLane, type Lane } from './lane.ts'
import { createLease, type Lease } from './lease.ts'
import { defaultLimits, type Limits } from './limits.ts'
import { createListener, type Listener } from './listener.ts'
import { liveOf } from './counts.ts'
import { decodeNotice, encodeNotice, notify } from './notices.ts'
import type { Operation } from './operations.ts'
import { createHeardProgress } from './heard-progress.ts'
import { listRuns, readJob, readStats } from './read.ts'
import { createReader, type Reader } from './reader.ts'
import { prepareReclaim, prepareRescue } from './rescue.ts'
import { createSettlements } from './settlements.ts'
import { createSweeper, type Sweeper } from './sweeper.ts'
import type { Outcome } from './transaction.ts'

export interface PostgresOptions {
  /** `postgres://…` */
  readonly url: string
  /** Where its tables are: several services can share one database. */
  readonly schema: string
  /** How long to wait at the start for a server that does not answer, in milliseconds. */
  readonly connectWaitMs: number
  readonly limits?: Partial<Limits>
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
  readonly lane: Lane
  readonly reader: Reader
  readonly beside: Beside
  readonly listener: Listener
  readonly lease: Lease
  readonly sweeper: Sweeper
}

export function createPostgresStore(options: PostgresOptions): Store {
  const { url, schema, clock, log, onLost } = options
  const limits = { ...defaultLimits, ...options.limits }
  const { leaseMs } = limits
  const owner = randomUUID()
  const channel = `forerunner ${schema}`
  const changeListeners: ((change: RunChange) => void)[] = []
  const workListeners: (() => void)[] = []
  const gapListeners: (() => void)[] = []
  const backlog = createBacklog(owner)
  const held = createHeld()
  const settlements = createSettlements(held)
  const heardProgress = createHeardProgress()
  const turns = createTurns(answersPerTurn)
  let parts: Parts | null = null
  let starting: Promise<Parts> | null = null
  let closing: Promise<void> | null = null
  /** Whether jobs may be its own in the database that nobody here runs. */
  let hasLate = false

  const wake = (): void => workListeners.forEach((listener) => listener())

  function tell(changes: readonly RunChange[]): void {
    for (const change of changes) turns.run(() => changeListeners.forEach((listener) => listener(change)))
  }

  function onCommitted(outcome: Outcome, operations: readonly Operation[]): void {
    backlog.add(liveOf(outcome.counts))
    for (const claim of outcome.given) held.give(claim)
    for (const claim of outcome.voided) held.void(claim)
    settlements.note(operations)
  }

  function onAnswered({ changes, hasQueued }: Outcome): void {
    tell(changes)
    if (hasQueued) turns.run(wake)
  }

  /** Nobody here knows of the claims that it gave: they are handed back. */
  function onLateCommit(outcome: Outcome, operations: readonly Operation[]): void {
    backlog.add(liveOf(outcome.counts))
    for (const claim of outcome.voided) held.void(claim)
    settlements.noteLate(operations, outcome.values)
    hasLate = true
    onAnswered(outcome)
  }

  async function onNotice(text: string): Promise<void> {
    const notice = decodeNotice(text, owner)
    if (notice === null) return
    if (notice.type === 'progress') return heardProgress.hear(notice.progress)
    const { from, live, changes, voided, hasWork } = notice
    backlog.hear(from, live)
    // What this process is just claiming must be known to whoever runs it before he can be told to stop.
    if (voided.length > 0) await parts?.lane.settled()
    // Where the job runs under another claim by now, that one goes on.
    const ended = Map.groupBy(voided.filter(held.void), ({ runId }) => runId)
    tell(
      changes.map((change) => {
        return { ...change, voided: (ended.get(change.runId) ?? []).map(({ jobIndex }) => jobIndex) }
      }),
    )
    if (hasWork) turns.run(wake)
  }

  async function rescue(silentMs: number | null, at: number): Promise<RescueReport> {
    const report = await opened().lane.askAlone(prepareRescue(owner, silentMs, at))
    return report as RescueReport
  }

  /** Hands back what nobody here runs, and ends what runs here and is not ours any more. */
  async function reclaim(): Promise<void> {
    const { lane, beside } = opened()
    hasLate = false
    const owned = (await lane.askAlone(prepareReclaim(owner, held, clock.now()))) as readonly Claim[]
    const lost = held.voidAllBut(owned)
    const runs = await Promise.all(lost.map(({ runId }) => beside.readRun(runId)))
    for (const [index, { jobIndex }] of lost.entries()) {
      const run = runs[index]
      if (!run) continue
      const { id: runId, version, state, answer } = run
      tell([{ runId, version, state, isAnswered: answer !== null, voided: [jobIndex] }])
    }
  }

  function onGap(): void {
    for (const listener of gapListeners) listener()
    wake()
    reclaim().catch((error: unknown) => log.debug({ err: error }, 'the own jobs could not be looked through'))
  }

  async function start(): Promise<Parts> {
    const pg = await loadPg()
    const database = { url, schema, limits }
    const connect = createConnect(pg, database)
    await prepareDatabase(connect, database, owner, options.connectWaitMs)
    const reader = createReader(pg, database)
    const lane = createLane({
      limits,
      connect,
      sender: () => ({ owner, channel, live: backlog.own() }),
      onCommitted,
      onAnswered,
      onLateCommit,
      onGroup: (...group) => options.onCommit?.(...group),
      defer: turns.run,
    })
    const beside = createBeside(lane, reader)
    const listener = createListener({ connect, channel, onMessage: (text) => void onNotice(text), onGap })
    const lease = createLease({ ...database, owner, stall: options.stall ?? null, onLost })
    const sweeper = createSweeper({
      limits,
      owner,
      query: reader.query,
      backlog,
      lease,
      log,
      rescue: () => rescue(leaseMs, clock.now()),
      reclaim,
      isInDoubt: () => hasLate || lane.isInDoubt(),
      onRound: wake,
    })
    const started = { lane, reader, beside, listener, lease, sweeper }
    try {
      await Promise.all([listener.start(), lease.start(), backlog.refresh(reader.query)])
    } catch (error) {
      await stop(started)
      throw new BootError('the database stopped answering', error)
    }
    sweeper.start()
    return started
  }

  async function stop({ lane, reader, beside, listener, lease, sweeper }: Parts): Promise<void> {
    await sweeper.stop()
    await lane.settled()
    await beside.ended()
    await Promise.all([lane.close(), listener.stop(), lease.stop()])
    // Whatever it could not hand back is free at once.
    await reader.query({ text: 'DELETE FROM process WHERE id = $1' }, [owner]).catch(() => {})
    await reader.end()
  }

  function opened(): Parts {
    if (parts === null || closing !== null) throw new AppError('store-unavailable', 'the store is not open')
    return parts
  }

  /** What the lane answers is what the verb returns. */
  async function ask(operation: Operation): Promise<unknown> {
    return opened().lane.ask(operation)
  }

  async function settle(operation: Operation & { readonly args: readonly [Claim, ...unknown[]] }): Promise<Settled> {
    const settled = (await ask(operation)) as Settled
    return settled === 'stale' && settlements.wasLate(operation.args[0]) ? 'settled' : settled
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
    onChange: (listener) => void changeListeners.push(listener),
    onWork: (listener) => void workListeners.push(listener),
    onGap: (listener) => void gapListeners.push(listener),
    backlog: backlog.jobs,
    async tellProgress(progress) {
      const messages = encodeNotice({ type: 'progress', from: owner, progress })
      // Who has missed it hears it again.
      await parts?.reader.query(notify, [channel, messages]).catch(() => {})
    },
    heardProgress: heardProgress.of,

    accept: async (...args) => (await ask({ verb: 'accept', args })) as AcceptReport,
    claim: async (...args) => (await ask({ verb: 'claim', args })) as ClaimResult,
    complete: (...args) => settle({ verb: 'complete', args }),
    fail: (...args) => settle({ verb: 'fail', args }),
    release: (...args) => settle({ verb: 'release', args }),
    cancel: async (...args) => (await ask({ verb: 'cancel', args })) as CancelResult,
    retry: async (...args) => (await ask({ verb: 'retry', args })) as RetryResult,
    rescue: async (at) => rescue(opened().lease.keptForMs() >= leaseMs ? leaseMs : null, at),
    defer: async (runId) => opened().beside.write(({ query }) => defer(query, runId)),
    remove: async (runId) => opened().beside.write(({ transact }) => transact((query) => remove(query, runId, owner))),
    async prune(finishedBefore, limit, at) {
      const what = { finishedBefore, limit, at }
      return opened().beside.write(({ transact }) => transact((query) => prune(query, owner, what)))
    },

    getRun: async (id) => opened().beside.readRun(id),
    getJob: async (...args) => opened().beside.read((query) => readJob(query, ...args)),
    listRuns: async (filter) => opened().beside.read((query) => listRuns(query, filter)),
    stats: async (at) => opened().beside.read((query) => readStats(query, at)),
  }
}
