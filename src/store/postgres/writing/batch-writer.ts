/**
 * A connection that writes in groups. Operations that arrive while a group is being committed form the next group. An
 * operation that needs a transaction of its own waits for its turn. If it is unknown whether a group was committed, the
 * group is sent again, and each operation finds out whether it has taken effect.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { AppError, taskPaused } from '../../../domain/errors.ts'
import { asksForAnswer } from '../../../domain/run/new-run.ts'
import type { Connection } from '../connection/connection.ts'
import { appErrorOf, isFailure, isUnavailable } from '../connection/errors.ts'
import type { Parts } from '../parts.ts'
import { StartPaused } from '../statements/save.ts'
import type { CommitEffects } from './commit-effects.ts'
import { commitGroup, type Outcome, UnknownCommit } from './group-commit.ts'
import type { Operation } from './operations.ts'
import type { Stored } from './unit-of-work.ts'

export type BatchWriter = ReturnType<typeof createBatchWriter>

interface BatchWriterOptions extends Parts {
  /** Number of the writer's row in the totals. */
  readonly writer: number
  readonly effects: CommitEffects
  /** Called after each group with the number of its operations, and with the milliseconds since it was sent. */
  readonly onGroup: (operations: number, tookMs: number) => void
  /** Runs a piece of work in this turn of the event loop, or in a later one if this turn has had many. */
  readonly runInTurn: (piece: () => void) => void
}

interface Pending extends PromiseWithResolvers<unknown> {
  readonly operation: Operation
  readonly isAlone: boolean
  /** Resolves when the transaction has ended, before the reply; to null if the transaction failed. */
  readonly ended: PromiseWithResolvers<Outcome | null>
  /** Whether the operation was sent before, and may have been committed then. */
  isRepeat: boolean
}

const maxOperations = 200
/** Characters of the texts of one group: writing them takes a fraction of a statement's time limit. One operation may exceed it. */
const maxLength = 8 * 2 ** 20
const maxConflicts = 5
const repeatPauseMs = 100

export function createBatchWriter(options: BatchWriterOptions) {
  const { processId, writer, channel, timing, connect, cache, pausedTasks, processes, effects, onGroup, runInTurn } =
    options
  /** Operations without a reply, in order of arrival. */
  const unreplied = new Set<Pending>()
  let queue: Pending[] = []
  let connection: Connection | null = null
  let share = 0
  let running: Promise<void> | null = null

  async function connected(): Promise<Connection> {
    if (connection === null || !connection.isOpen()) connection = await connect('write')
    return connection
  }

  async function send(group: readonly Pending[]): Promise<Outcome> {
    const isRepeat = group.some((pending) => pending.isRepeat)
    const operations = group.map(({ operation }) => (isRepeat && operation.verb === 'claim' ? unknownClaim : operation))
    const open = await connected()
    const sender = { processId, writer, channel, share, hasOthers: processes.hasOthers() }
    const isPaused = pausedTasks.has
    const outcome = await open.together(() => commitGroup(open, { operations, sender, cache, isRepeat, isPaused }))
    share = outcome.share ?? share
    return outcome
  }

  /** Repeats a group for a while after a commit of unknown outcome. A claim fails: nothing shows which jobs it took. */
  async function repeat(group: readonly Pending[]): Promise<Outcome> {
    const deadline = performance.now() + timing.unknownCommitMs
    for (const pending of group) pending.isRepeat = true
    effects.unknownCommit()
    for (;;) {
      try {
        return await send(group)
      } catch (error) {
        const failure = error instanceof UnknownCommit ? error.cause : error
        // The first commit may take place during the repeat, which is then refused: its run exists. The next one finds the run.
        if (!isFailure(failure) || performance.now() > deadline) throw failure
        await sleep(repeatPauseMs)
      }
    }
  }

  /** Sends a group again after a conflict, and once if an idle connection turns out to be lost. */
  async function sendAgain(group: readonly Pending[]): Promise<Outcome> {
    let conflicts = 0
    let hasReconnected = false
    for (;;) {
      const wasOpen = connection?.isOpen() === true
      try {
        return await send(group)
      } catch (error) {
        if (error instanceof UnknownCommit) return repeat(group)
        const isConflict = isFailure(error, 'conflict') && conflicts < maxConflicts
        const isStale = isFailure(error, 'lost') && wasOpen && !hasReconnected
        if (!isConflict && !isStale) throw error
        if (isConflict) conflicts += 1
        else hasReconnected = true
      }
    }
  }

  /** @param value an error rejects the operation */
  function reply({ operation, resolve, reject }: Pending, value: unknown): void {
    const callBack = (): void => (value instanceof Error ? reject(appErrorOf(value, operation.verb)) : resolve(value))
    // A claim gets its reply at once: the next claim can then join the next group, with the runs that wait to be accepted.
    if (operation.verb === 'claim') callBack()
    else runInTurn(callBack)
  }

  /** Ends the transaction of the operation. */
  function end(pending: Pending, outcome: Outcome | null): void {
    unreplied.delete(pending)
    pending.ended.resolve(outcome)
  }

  function fail(pending: Pending, error: unknown): void {
    end(pending, null)
    reply(pending, appErrorOf(error, pending.operation.verb))
  }

  async function runGroup(group: readonly Pending[]): Promise<void> {
    if (group.length === 0) return
    const startedAt = performance.now()
    try {
      const outcome = await sendAgain(group)
      const operations = group.map(({ operation }) => operation)
      effects.committed(outcome, operations, writer)
      onGroup(group.length, performance.now() - startedAt)
      for (const pending of group) end(pending, outcome)
      for (const [index, pending] of group.entries()) reply(pending, outcome.replies[index])
      effects.replied(outcome, writer)
    } catch (error) {
      await endFailed(group, error)
    }
  }

  /** Rejects operations after an error of their group, or runs them again without the one to blame. */
  async function endFailed(group: readonly Pending[], error: unknown): Promise<void> {
    if (error instanceof StartPaused) {
      const refuse = (): Promise<void> => runGroup(refuseStarts(group, error))
      return pausedTasks.refresh().then(refuse, (failure: unknown) => endFailed(group, failure))
    }
    if (isUnavailable(error)) effects.unavailable(error)
    if (isUnavailable(error) || group.length === 1) for (const pending of group) fail(pending, error)
    // The database refuses the group because of one operation: the others are committed without it.
    else for (const pending of group) await runGroup([pending])
  }

  /**
   * Refuses the operations that would start a first job of a task that another process has paused.
   * @returns the other operations of the group
   */
  function refuseStarts(group: readonly Pending[], { runIds }: StartPaused): readonly Pending[] {
    return group.filter((pending) => {
      const run = pending.operation.accepts?.run
      const startsFirst = run !== undefined && runIds.has(run.id) && (run.claimsFirst || asksForAnswer(run))
      const task = startsFirst ? run.jobs[0]?.task : undefined
      if (task === undefined || !pausedTasks.has(task)) return true
      fail(pending, taskPaused(task))
      return false
    })
  }

  /**
   * Takes the next group from the queue. An operation that runs alone is a group of its own, in its turn. A group has one
   * claim, because a second one must see which jobs the first took.
   */
  function takeNext(): Pending[] {
    if (queue[0]?.isAlone === true) return queue.splice(0, 1)
    const taken: Pending[] = []
    const left: Pending[] = []
    let hasClaim = false
    let isFull = false
    let length = 0
    for (const pending of queue) {
      const { verb, length: more = 0 } = pending.operation
      isFull ||= pending.isAlone || taken.length === maxOperations || (length + more > maxLength && taken.length > 0)
      const isClaim = verb === 'claim'
      if (isFull || (isClaim && hasClaim)) {
        left.push(pending)
        continue
      }
      taken.push(pending)
      length += more
      hasClaim ||= isClaim
    }
    queue = left
    return taken
  }

  async function runQueue(): Promise<void> {
    while (queue.length > 0) {
      await runGroup(takeNext())
      await nextTurn()
    }
    running = null
  }

  function enqueue(operation: Operation, isAlone: boolean): Promise<unknown> {
    const ended = Promise.withResolvers<Outcome | null>()
    const pending: Pending = { operation, isAlone, isRepeat: false, ended, ...Promise.withResolvers<unknown>() }
    unreplied.add(pending)
    queue.push(pending)
    // Operations of the same turn of the event loop form one group.
    running ??= nextTurn().then(runQueue)
    return pending.promise
  }

  const concerns = ({ runIds, accepts }: Operation, runId: string): boolean =>
    runIds.includes(runId) || accepts?.run.id === runId

  return {
    /** Runs the operation in one of the next groups. */
    submit: (operation: Operation): Promise<unknown> => enqueue(operation, false),
    /** Runs the operation in a transaction of its own. */
    submitAlone: (operation: Operation): Promise<unknown> => enqueue(operation, true),
    /** Resolves when every earlier operation has a reply; null if all of them have. */
    earlierReplies: (): Promise<unknown> | null =>
      unreplied.size === 0 ? null : Promise.allSettled([...unreplied].map(({ promise }) => promise)),
    /** Resolves to the record that the run's last operation under way writes, if it writes one; null if none is under way. */
    latestWrite(runId: string): Promise<Stored | undefined> | null {
      const last = [...unreplied].findLast(({ operation }) => concerns(operation, runId))
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
