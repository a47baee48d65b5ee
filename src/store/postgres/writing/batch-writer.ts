/**
 * A connection through which this process writes. What is asked for while a group is being committed travels together
 * as the next one; what has to be a transaction of its own waits for its turn. A group whose commit may have taken
 * place is sent again: its operations find out by themselves.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { AppError } from '../../../domain/errors.ts'
import type { RecordCache } from './record-cache.ts'
import type { Connect, Connection } from '../connection/connection.ts'
import { appErrorOf, isFailure, isUnavailable } from '../connection/failure.ts'
import { commitGroup, UnknownCommit, type Outcome } from './group.ts'
import type { Limits } from '../limits.ts'
import type { Operation } from './operations.ts'
import type { Stored } from './unit-of-work.ts'

export interface BatchWriter {
  /** Takes part in one of the next groups. */
  ask(operation: Operation): Promise<unknown>
  /** Is a transaction of its own. */
  askAlone(operation: Operation): Promise<unknown>
  /** Resolves when everything that was asked before is settled; null when nothing is under way. */
  settled(): Promise<unknown> | null
  /** Resolves when everything that was asked before of the run is settled, to the record as it was written; null when nothing is. */
  settledOf(runId: string): Promise<Stored | undefined> | null
  /** Waits for what was asked before, and ends the connection. */
  close(): Promise<void>
}

export interface BatchWriterOptions {
  readonly process: number
  /** Number of its row in the totals. */
  readonly writer: number
  readonly channel: string
  readonly limits: Limits
  readonly connect: Connect
  readonly cache: RecordCache
  /** Whether there may be other processes, which are told of changes. */
  readonly hasOthers: () => boolean
  /** A transaction has ended well; called before anything else is written here. */
  readonly onCommitted: (outcome: Outcome, operations: readonly Operation[], writer: number) => void
  /** What was asked for in it is being answered; called behind that. */
  readonly onAnswered: (outcome: Outcome, writer: number) => void
  /** A transaction has failed, and the database is to blame. */
  readonly onUnavailable: (error: unknown) => void
  /** A transaction may have taken place, and nobody here knows what it has done. */
  readonly onUnknownCommit: () => void
  /** A group of so many operations has ended, so many milliseconds after it was sent. */
  readonly onGroup: (operations: number, tookMs: number) => void
  /** Runs a piece of work of this or a later turn of the event loop. */
  readonly defer: (piece: () => void) => void
}

interface Asked extends PromiseWithResolvers<unknown> {
  readonly operation: Operation
  readonly isAlone: boolean
  /** Resolves when its transaction has ended, before it is answered; to null where that has failed. */
  readonly ended: PromiseWithResolvers<Outcome | null>
  /** Whether it may have taken place: from then on it finds out by itself, in whatever group it is asked again. */
  isRepeat: boolean
}

const maxOperations = 200
/** Of the texts of one group: it is to end in a fraction of the time that a statement may take. At least one operation. */
const maxLength = 8 * 2 ** 20
const maxConflicts = 5
const repeatPauseMs = 100

export function createBatchWriter(options: BatchWriterOptions): BatchWriter {
  const {
    process,
    writer,
    channel,
    limits,
    connect,
    cache,
    hasOthers,
    onCommitted,
    onAnswered,
    onUnavailable,
    onUnknownCommit,
    onGroup,
  } = options
  const { defer } = options
  /** In the order in which it was asked. */
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
    const operations = group.map(({ operation }) => (isRepeat && operation.verb === 'claim' ? lostClaim : operation))
    const ready = await connected()
    const sender = { process, writer, channel, live, hasOthers: hasOthers() }
    const outcome = await ready.together(() => commitGroup(ready, { operations, sender, cache, isRepeat }))
    live = outcome.live ?? live
    return outcome
  }

  /** Asks again what may have taken place, for a while. What a claim took nobody would know. */
  async function repeat(group: readonly Asked[], unknown: UnknownCommit): Promise<Outcome> {
    const deadline = performance.now() + limits.unknownCommitMs
    for (const asked of group) asked.isRepeat = true
    onUnknownCommit()
    for (;;) {
      try {
        return await attempt(group)
      } catch (error) {
        const isLate = performance.now() > deadline
        // Refused: an id is there by now, as it was asked to be.
        if (isLate || !(error instanceof UnknownCommit || isUnavailable(error) || isFailure(error, 'refused'))) {
          throw error instanceof UnknownCommit ? unknown.cause : error
        }
        await sleep(repeatPauseMs)
      }
    }
  }

  /** Again where that can help: after a conflict, and once on a new connection where the old one was lost before. */
  async function run(group: readonly Asked[]): Promise<Outcome> {
    let conflicts = 0
    let mayBeLost = !group.some(({ isRepeat }) => isRepeat)
    for (;;) {
      const wasOpen = connection?.isOpen() === true
      try {
        const outcome = await attempt(group).catch((error: unknown) => {
          if (!(error instanceof UnknownCommit)) throw error
          mayBeLost = false
          return repeat(group, error)
        })
        onCommitted(
          outcome,
          group.map(({ operation }) => operation),
          writer,
        )
        return outcome
      } catch (error) {
        if (isFailure(error, 'conflict') && conflicts < maxConflicts) conflicts += 1
        else if (isFailure(error, 'lost') && wasOpen && mayBeLost) mayBeLost = false
        else {
          if (isUnavailable(error)) onUnavailable(error)
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

  async function runGroup(group: readonly Asked[]): Promise<void> {
    const startedAt = performance.now()
    try {
      const outcome = await run(group)
      onGroup(group.length, performance.now() - startedAt)
      for (const asked of group) leave(asked, outcome)
      for (const [index, asked] of group.entries()) answer(asked, outcome.values[index])
      onAnswered(outcome, writer)
    } catch (error) {
      if (isUnavailable(error) || group.length === 1) {
        for (const asked of group) {
          leave(asked, null)
          answer(asked, error instanceof Error ? error : new Error(String(error)))
        }
        return
      }
      // One of them is to blame: the others are committed without it.
      for (const asked of group) await runGroup([asked])
    }
  }

  /** What goes alone waits for all before it, and lets nothing pass. Of claims, the second is not to see what the first takes. */
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
    // What this turn of the event loop asks for goes together.
    running ??= nextTurn().then(drain)
    return asked.promise
  }

  const concerns = ({ runIds, accepts }: Operation, runId: string): boolean =>
    runIds.includes(runId) || accepts?.run.id === runId

  return {
    ask: (operation) => enqueue(operation, false),
    askAlone: (operation) => enqueue(operation, true),
    settled: () => (pending.size === 0 ? null : Promise.allSettled([...pending].map(({ promise }) => promise))),
    settledOf(runId) {
      const last = [...pending].findLast(({ operation }) => concerns(operation, runId))
      if (last === undefined) return null
      return last.ended.promise.then((outcome) => outcome?.written.find(({ run: { id } }) => id === runId))
    },
    async close() {
      await running
      await connection?.end()
    },
  }
}

const lostClaim: Operation = {
  verb: 'claim',
  runIds: [],
  apply: () => new AppError('store-unavailable', 'it is not known which jobs were claimed'),
}
