/**
 * A connection that writes in groups. Operations that arrive while a group is being committed form the next group. An
 * operation that needs a transaction of its own waits for its turn. If it is unknown whether a group was committed, the
 * group is sent again, and each operation finds out whether it has taken effect.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { AppError, taskPaused } from '../../../domain/errors.ts'
import { asksForAnswer } from '../../../domain/run/new-run.ts'
import { StartPaused } from '../statements/save.ts'
import type { PausedTasks } from '../statements/tasks.ts'
import type { RecordCache } from '../statements/records.ts'
import type { Connect, Connection, Limits } from '../connection/connection.ts'
import { appErrorOf, isFailure, isUnavailable } from '../connection/errors.ts'
import { commitGroup, UnknownCommit, type Outcome } from './group-commit.ts'
import type { CommitEffects } from './commit-effects.ts'
import type { Operation } from './operations.ts'
import type { Stored } from './unit-of-work.ts'

export type BatchWriter = ReturnType<typeof createBatchWriter>

interface BatchWriterOptions {
  readonly process: number
  /** Number of its row in the totals. */
  readonly writer: number
  readonly channel: string
  readonly limits: Limits
  readonly connect: Connect
  readonly cache: RecordCache
  readonly pausedTasks: Pick<PausedTasks, 'has' | 'refresh'>
  /** Whether other processes may exist, which are notified of changes. */
  readonly hasOthers: () => boolean
  readonly effects: CommitEffects
  /** Called after each group, with the number of its operations and the milliseconds since it was sent. */
  readonly onGroup: (operations: number, tookMs: number) => void
  /** Runs a piece of work in this or a later turn of the event loop. */
  readonly defer: (piece: () => void) => void
}

interface Asked extends PromiseWithResolvers<unknown> {
  readonly operation: Operation
  readonly isAlone: boolean
  /** Resolves when its transaction has ended, before its reply; to null if the transaction failed. */
  readonly ended: PromiseWithResolvers<Outcome | null>
  /** Whether an earlier attempt may have been committed: then the operation finds out by itself. */
  isRepeat: boolean
}

const maxOperations = 200
/** Characters of the texts of one group, so that it takes a fraction of a statement's time limit; at least one operation. */
const maxLength = 8 * 2 ** 20
const maxConflicts = 5
const repeatPauseMs = 100

export function createBatchWriter(options: BatchWriterOptions) {
  const { process, writer, channel, limits, connect, cache, pausedTasks, hasOthers, effects, onGroup, defer } = options
  /** In order of arrival. */
  const pending = new Set<Asked>()
  let queue: Asked[] = []
  let connection: Connection | null = null
  let live = 0
  let running: Promise<void> | null = null

  async function connected(): Promise<Connection> {
    if (connection === null || !connection.isOpen()) connection = await connect('write')
    return connection
  }

  async function attempt(group: readonly Asked[]): Promise<Outcome> {
    const isRepeat = group.some((asked) => asked.isRepeat)
    const operations = group.map(({ operation }) => (isRepeat && operation.verb === 'claim' ? unknownClaim : operation))
    const ready = await connected()
    const sender = { process, writer, channel, live, hasOthers: hasOthers() }
    const isPaused = pausedTasks.has
    const outcome = await ready.together(() => commitGroup(ready, { operations, sender, cache, isRepeat, isPaused }))
    live = outcome.live ?? live
    return outcome
  }

  /** Sends the group again for a while. A claim fails: nobody would know which jobs it took. */
  async function repeat(group: readonly Asked[]): Promise<Outcome> {
    const deadline = performance.now() + limits.unknownCommitMs
    for (const asked of group) asked.isRepeat = true
    effects.unknownCommit()
    for (;;) {
      try {
        return await attempt(group)
      } catch (error) {
        const failure = error instanceof UnknownCommit ? error.cause : error
        // Also after a refusal: where the first attempt was committed meanwhile, its id exists.
        if (!isFailure(failure) || performance.now() > deadline) throw failure
        await sleep(repeatPauseMs)
      }
    }
  }

  async function send(group: readonly Asked[]): Promise<Outcome> {
    try {
      return await attempt(group)
    } catch (error) {
      if (error instanceof UnknownCommit) return repeat(group)
      throw error
    }
  }

  /** Sends a group; again after a conflict, and once on a new connection if the old one was lost before its commit. */
  async function run(group: readonly Asked[]): Promise<Outcome> {
    let conflicts = 0
    let hasReconnected = false
    for (;;) {
      const wasOpen = connection?.isOpen() === true
      try {
        const outcome = await send(group)
        const operations = group.map(({ operation }) => operation)
        effects.committed(outcome, operations, writer)
        return outcome
      } catch (error) {
        const mayReconnect = wasOpen && !hasReconnected && !group.some(({ isRepeat }) => isRepeat)
        if (isFailure(error, 'conflict') && conflicts < maxConflicts) conflicts += 1
        else if (isFailure(error, 'lost') && mayReconnect) hasReconnected = true
        else {
          if (isUnavailable(error)) effects.unavailable(error)
          throw error
        }
      }
    }
  }

  function answer(asked: Asked, value: unknown): void {
    const reply = (): void => {
      if (value instanceof Error)
        asked.reject(value instanceof AppError ? value : appErrorOf(value, asked.operation.verb))
      else asked.resolve(value)
    }
    // The next group can give slots to runs that wait to be accepted.
    if (asked.operation.verb === 'claim') reply()
    else defer(reply)
  }

  function leave(asked: Asked, outcome: Outcome | null): void {
    pending.delete(asked)
    asked.ended.resolve(outcome)
  }

  /** Another process has paused a task. @throws what is no StartPaused */
  async function knowPauses(error: unknown): Promise<StartPaused> {
    if (!(error instanceof StartPaused)) throw error
    await pausedTasks.refresh()
    return error
  }

  /** @returns the operations that are left: those that would start a first job of a paused task are over */
  function refuseStarts(group: readonly Asked[], { runIds }: StartPaused): readonly Asked[] {
    const left: Asked[] = []
    for (const asked of group) {
      const asking = asked.operation.accepts?.run
      const isStart = asking !== undefined && (asking.claimsFirst || asksForAnswer(asking)) && runIds.has(asking.id)
      const task = isStart ? asking.jobs[0]?.task : undefined
      if (task === undefined || !pausedTasks.has(task)) left.push(asked)
      else {
        leave(asked, null)
        answer(asked, taskPaused(task))
      }
    }
    return left
  }

  async function runGroup(group: readonly Asked[]): Promise<void> {
    if (group.length === 0) return
    const startedAt = performance.now()
    try {
      const outcome = await run(group).catch(knowPauses)
      if (outcome instanceof StartPaused) return await runGroup(refuseStarts(group, outcome))
      onGroup(group.length, performance.now() - startedAt)
      for (const asked of group) leave(asked, outcome)
      for (const [index, asked] of group.entries()) answer(asked, outcome.values[index])
      effects.answered(outcome, writer)
    } catch (error) {
      if (isUnavailable(error) || group.length === 1) {
        for (const asked of group) {
          leave(asked, null)
          answer(asked, error instanceof Error ? error : new Error(String(error)))
        }
        return
      }
      // One operation is to blame: the others are committed without it.
      for (const asked of group) await runGroup([asked])
    }
  }

  /**
   * Takes the next group. An operation that runs alone keeps its place. A second claim waits: it must see what the first
   * took.
   */
  function takeNext(): Asked[] {
    if (queue[0]?.isAlone === true) return queue.splice(0, 1)
    const taken: Asked[] = []
    const left: Asked[] = []
    let hasClaim = false
    let isOver = false
    let room = maxLength
    for (const asked of queue) {
      const { length = 0 } = asked.operation
      isOver ||= asked.isAlone || taken.length === maxOperations || (length > room && taken.length > 0)
      const isSecondClaim = hasClaim && asked.operation.verb === 'claim'
      if (isOver || isSecondClaim) left.push(asked)
      else {
        taken.push(asked)
        room -= length
        hasClaim ||= asked.operation.verb === 'claim'
      }
    }
    queue = left
    return taken
  }

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      await runGroup(takeNext())
      await nextTurn()
    }
    running = null
  }

  function enqueue(operation: Operation, isAlone: boolean): Promise<unknown> {
    const ended = Promise.withResolvers<Outcome | null>()
    const asked: Asked = { operation, isAlone, isRepeat: false, ended, ...Promise.withResolvers<unknown>() }
    pending.add(asked)
    queue.push(asked)
    // Operations of the same turn of the event loop form one group.
    running ??= nextTurn().then(drain)
    return asked.promise
  }

  const concerns = ({ runIds, accepts }: Operation, runId: string): boolean =>
    runIds.includes(runId) || accepts?.run.id === runId

  return {
    /** Runs the operation in one of the next groups. */
    ask: (operation: Operation): Promise<unknown> => enqueue(operation, false),
    /** Runs the operation in a transaction of its own. */
    askAlone: (operation: Operation): Promise<unknown> => enqueue(operation, true),
    /** Resolves when every earlier operation has a reply; null when none is under way. */
    settled: (): Promise<unknown> | null =>
      pending.size === 0 ? null : Promise.allSettled([...pending].map(({ promise }) => promise)),
    /** The same for the operations on one run; resolves to its record as it was written. */
    settledOf(runId: string): Promise<Stored | undefined> | null {
      const last = [...pending].findLast(({ operation }) => concerns(operation, runId))
      if (last === undefined) return null
      return last.ended.promise.then((outcome) => outcome?.written.find(({ run: { id } }) => id === runId))
    },
    /** Waits for earlier operations, then ends the connection. */
    async close(): Promise<void> {
      await running
      await connection?.end()
    },
  }
}

const unknownClaim: Operation = {
  verb: 'claim',
  runIds: [],
  apply: () => new AppError('store-unavailable', 'it is not known which jobs were claimed'),
}
