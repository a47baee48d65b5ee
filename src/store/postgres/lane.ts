/**
 * The one connection through which this process writes. What is asked for while a group is being committed travels
 * together as the next one; what has to be a transaction of its own waits for its turn.
 */
import { AppError } from '../../domain/errors.ts'
import type { Connect, Connection } from './connection.ts'
import { tookPlace } from './doubt.ts'
import { isFailure, isUnavailable } from './failure.ts'
import { prepareGroup } from './group.ts'
import type { Limits } from './limits.ts'
import type { Operation } from './operations.ts'
import { InDoubt, transact, type Outcome, type Prepare, type Sender } from './transaction.ts'

export interface Lane {
  /** Takes part in the next group. */
  ask(operation: Operation): Promise<unknown>
  /** Runs a transaction of its own, and resolves to the first of its values. */
  askAlone(prepare: Prepare): Promise<unknown>
  /** Resolves when everything that was asked before is settled; null when nothing is under way. */
  settled(): Promise<void> | null
  /** Whether it is not known of some commit if it took place. */
  isInDoubt(): boolean
  /** Waits for what was asked before, and ends the connection. */
  close(): Promise<void>
}

export interface LaneOptions {
  readonly limits: Limits
  readonly connect: Connect
  /** As of now. */
  readonly sender: () => Sender
  /** A transaction has ended well; called before anything else is written. */
  readonly onCommitted: (outcome: Outcome, operations: readonly Operation[]) => void
  /** What was asked for in it is being answered; called behind that. */
  readonly onAnswered: (outcome: Outcome) => void
  /** It turned out that a transaction was committed whose callers had been told that it may not have been. */
  readonly onLateCommit: (outcome: Outcome, operations: readonly Operation[]) => void
  /** A group of so many operations has ended, so many milliseconds after it was sent. */
  readonly onGroup: (operations: number, tookMs: number) => void
  /** Runs a piece of work of this or a later turn of the event loop. */
  readonly defer: (piece: () => void) => void
}

interface Asked extends PromiseWithResolvers<unknown> {
  readonly operation: Operation | null
  readonly prepare: Prepare | null
}

const maxOperations = 200
const maxConflicts = 5
const doubtPauseMs = 100

export function createLane(options: LaneOptions): Lane {
  const { limits, connect, sender, onCommitted, onAnswered, onLateCommit, onGroup, defer } = options
  const queue: Asked[] = []
  let connection: Connection | null = null
  let doubt: { readonly error: InDoubt; readonly operations: readonly Operation[] } | null = null
  let commits = 0
  let running: Promise<void> | null = null

  async function connected(): Promise<Connection> {
    if (connection === null || !connection.isOpen()) connection = await connect('write')
    return connection
  }

  /** Does nothing while nothing is in doubt. @throws DatabaseFailure */
  async function settleDoubt({ query }: Connection): Promise<void> {
    if (doubt === null) return
    const { error, operations } = doubt
    const isCommitted = await tookPlace(query, sender().owner, error.commit)
    doubt = null
    if (isCommitted) onLateCommit(error.outcome, operations)
  }

  async function attempt(operations: readonly Operation[], prepare: Prepare): Promise<Outcome> {
    const ready = await connected()
    await settleDoubt(ready)
    commits += 1
    try {
      return await transact(ready, sender(), commits, prepare)
    } catch (error) {
      if (!(error instanceof InDoubt)) throw error
      if (await isCommittedAfterAll(error, operations)) return error.outcome
      throw error.cause
    }
  }

  /** Asks for a while; what is not known then is asked again before anything else is written. */
  async function isCommittedAfterAll(error: InDoubt, operations: readonly Operation[]): Promise<boolean> {
    const deadline = performance.now() + limits.doubtMs
    doubt = { error, operations }
    for (;;) {
      try {
        const { query } = await connected()
        const isCommitted = await tookPlace(query, sender().owner, error.commit)
        doubt = null
        return isCommitted
      } catch (reason) {
        if (performance.now() > deadline) throw reason
        await new Promise((resolve) => setTimeout(resolve, doubtPauseMs))
      }
    }
  }

  /** Again where that can help: after a conflict, and once on a new connection where the old one was lost before. */
  async function run(operations: readonly Operation[], prepare: Prepare): Promise<Outcome> {
    let conflicts = 0
    let isSecond = false
    for (;;) {
      const wasOpen = connection?.isOpen() === true
      try {
        const outcome = await attempt(operations, prepare)
        onCommitted(outcome, operations)
        return outcome
      } catch (error) {
        if (isFailure(error, 'conflict') && conflicts < maxConflicts) conflicts += 1
        else if (isFailure(error, 'lost') && wasOpen && doubt === null && !isSecond) isSecond = true
        else throw error
      }
    }
  }

  async function runGroup(group: readonly Asked[]): Promise<void> {
    const operations = group.flatMap(({ operation }) => operation ?? [])
    const startedAt = performance.now()
    const { owner } = sender()
    try {
      const outcome = await run(operations, (query, beginning) => prepareGroup(query, operations, owner, beginning))
      onGroup(operations.length, performance.now() - startedAt)
      for (const [index, { resolve }] of group.entries()) defer(() => resolve(outcome.values[index]))
      onAnswered(outcome)
    } catch (error) {
      if (isUnavailable(error) || group.length === 1) {
        for (const asked of group) defer(() => asked.reject(refusalOf(error, asked)))
        return
      }
      // One of them is to blame: the others are committed without it.
      for (const asked of group) await runGroup([asked])
    }
  }

  async function runAlone(asked: Asked, prepare: Prepare): Promise<void> {
    try {
      const outcome = await run([], prepare)
      defer(() => asked.resolve(outcome.values[0]))
      onAnswered(outcome)
    } catch (error) {
      defer(() => asked.reject(refusalOf(error, asked)))
    }
  }

  /** The next ones that can go together; what only waits for its turn goes with them. */
  function takeNext(): Asked[] {
    const end = queue.findIndex(({ prepare }, index) => index > 0 && (prepare !== null || index >= maxOperations))
    const count = queue[0]?.prepare ? 1 : end
    return count === -1 ? queue.splice(0) : queue.splice(0, count)
  }

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const next = takeNext()
      const [first] = next
      const asked = next.filter(({ operation }) => operation !== null)
      if (first?.prepare) await runAlone(first, first.prepare)
      else if (asked.length > 0) await runGroup(asked)
      for (const { operation, prepare, resolve } of next) if (operation === null && prepare === null) resolve(null)
    }
    running = null
  }

  function enqueue(asked: Asked): Promise<unknown> {
    queue.push(asked)
    // What this turn of the event loop asks for goes together.
    running ??= new Promise<void>((resolve) => void setImmediate(resolve)).then(drain)
    return asked.promise
  }

  const asking = (operation: Operation | null, prepare: Prepare | null): Asked => {
    return { operation, prepare, ...Promise.withResolvers<unknown>() }
  }

  return {
    ask: (operation) => enqueue(asking(operation, null)),
    askAlone: (prepare) => enqueue(asking(null, prepare)),
    settled: () => (running === null ? null : enqueue(asking(null, null)).then(() => {})),
    isInDoubt: () => doubt !== null,
    async close() {
      await running
      await connection?.end()
    },
  }
}

function refusalOf(error: unknown, { operation }: Asked): AppError {
  const code = isUnavailable(error) ? 'store-unavailable' : 'internal'
  const message = error instanceof Error ? error.message : String(error)
  return new AppError(code, `${operation?.verb ?? 'a transaction'}: ${message}`, { cause: error })
}
