/**
 * A connection through which this process writes. What is asked for while a group is being committed travels together
 * as the next one; what has to be a transaction of its own waits for its turn.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { AppError } from '../../domain/errors.ts'
import type { Connect, Connection } from './connection.ts'
import { barredAt, enterLane, lookUp, numberAfter } from './doubt.ts'
import { appErrorOf, isFailure, isUnavailable } from './failure.ts'
import type { Limits } from './limits.ts'
import type { NextGroup } from './next-group.ts'
import { InDoubt, OutOfStep, type Commit, type Outcome, type Sender } from './transaction.ts'

export interface Lane<Operation> {
  /** Takes part in one of the next groups. */
  ask(operation: Operation): Promise<unknown>
  /** Runs a transaction of its own, and resolves to the first of its values. */
  askAlone(commit: Commit<null>): Promise<unknown>
  /** What was asked for last, unless it is on its way already. */
  lastWaiting(): Operation | null
  /** Resolves when everything that was asked before is settled; null when nothing is under way. */
  settled(): Promise<unknown> | null
  /** Whether it is not known of some commit if it took place. */
  isInDoubt(): boolean
  /** Waits for what was asked before, and ends the connection. */
  close(): Promise<void>
}

export interface LaneOptions<Operation> extends Pick<Sender, 'owner' | 'lane' | 'channel'> {
  readonly limits: Limits
  readonly connect: Connect
  readonly next: NextGroup<Operation>
  readonly commit: Commit<readonly Operation[]>
  /** A transaction has ended well; called before anything else is written here. */
  readonly onCommitted: (outcome: Outcome, operations: readonly Operation[], lane: string) => void
  /** What was asked for in it is being answered; called behind that. */
  readonly onAnswered: (outcome: Outcome, lane: string) => void
  /** It turned out that a transaction was committed whose callers had been told that it may not have been. */
  readonly onLateCommit: (outcome: Outcome, operations: readonly Operation[], lane: string) => void
  /** A transaction has failed, and the database is to blame. */
  readonly onUnavailable: (error: unknown) => void
  /** A group of so many operations has ended, so many milliseconds after it was sent. */
  readonly onGroup: (operations: number, tookMs: number) => void
  /** Whether it is answered before the others, so that what follows it goes with the next group. */
  readonly isUrgent: (operation: Operation) => boolean
  /** Runs a piece of work of this or a later turn of the event loop. */
  readonly defer: (piece: () => void) => void
}

interface Asked<Operation> extends PromiseWithResolvers<unknown> {
  /** null where it goes alone. */
  readonly operation: Operation | null
  readonly alone: Commit<null> | null
}

interface Doubt<Operation> {
  readonly error: InDoubt
  readonly operations: readonly Operation[]
}

const maxConflicts = 5
const doubtPauseMs = 100

export function createLane<Operation extends { readonly verb: string }>(
  options: LaneOptions<Operation>,
): Lane<Operation> {
  const { limits, connect, next, commit, onCommitted, onAnswered, onLateCommit, onUnavailable, onGroup, defer } =
    options
  const { owner, lane, channel, isUrgent } = options
  const pending = new Set<Promise<unknown>>()
  let queue: Asked<Operation>[] = []
  let connection: Connection | null = null
  let doubt: Doubt<Operation> | null = null
  let commits = 0
  let live = 0
  let running: Promise<void> | null = null

  async function connected(): Promise<Connection> {
    if (connection === null || !connection.isOpen()) connection = await connect('write')
    return connection
  }

  const sender = (): Sender => ({ owner, lane, channel, commits, number: numberAfter(commits), live })

  /** What the transaction in doubt has done; null where it did not take place, and will not. @throws DatabaseFailure */
  async function resolveDoubt({ query }: Connection, { error }: Doubt<Operation>): Promise<Outcome | null> {
    const found = await lookUp(query, { owner, lane }, error.number)
    const outcome = found && { ...(await error.find(query)), live: found.live }
    doubt = null
    commits = found === null ? barredAt(error.number) : error.number
    live = outcome?.live ?? live
    return outcome
  }

  async function attempt(
    operations: readonly Operation[],
    send: (to: Connection) => Promise<Outcome>,
  ): Promise<Outcome> {
    const ready = await connected()
    const before = doubt
    const late = before && (await resolveDoubt(ready, before))
    if (late !== null) onLateCommit(late, before?.operations ?? [], lane)
    try {
      const outcome = await ready.together(() => send(ready))
      commits = outcome.commits
      live = outcome.live
      return outcome
    } catch (error) {
      if (error instanceof OutOfStep) await enterLane(ready.query, { owner, lane }, commits)
      if (!(error instanceof InDoubt)) throw error
      const outcome = await findOut({ error, operations })
      if (outcome === null) throw error.cause
      return outcome
    }
  }

  /** Asks for a while; what is not known then is asked again before anything else is written. */
  async function findOut(inDoubt: Doubt<Operation>): Promise<Outcome | null> {
    const deadline = performance.now() + limits.doubtMs
    doubt = inDoubt
    for (;;) {
      try {
        return await resolveDoubt(await connected(), inDoubt)
      } catch (reason) {
        if (performance.now() > deadline) throw reason
        await new Promise((resolve) => setTimeout(resolve, doubtPauseMs))
      }
    }
  }

  /** Again where that can help: after a conflict, and once on a new connection where the old one was lost before. */
  async function run(operations: readonly Operation[], send: (to: Connection) => Promise<Outcome>): Promise<Outcome> {
    let conflicts = 0
    let isSecond = false
    for (;;) {
      const wasOpen = connection?.isOpen() === true
      try {
        const outcome = await attempt(operations, send)
        onCommitted(outcome, operations, lane)
        return outcome
      } catch (error) {
        if ((isFailure(error, 'conflict') || error instanceof OutOfStep) && conflicts < maxConflicts) conflicts += 1
        else if (isFailure(error, 'lost') && wasOpen && doubt === null && !isSecond) isSecond = true
        else {
          if (isUnavailable(error)) onUnavailable(error)
          throw error
        }
      }
    }
  }

  function answer(asked: Asked<Operation>, value: unknown): void {
    const reply = (): void => (value instanceof Error ? asked.reject(refusalOf(value, asked)) : asked.resolve(value))
    if (asked.operation !== null && isUrgent(asked.operation)) reply()
    else defer(reply)
  }

  async function runGroup(group: readonly Asked<Operation>[]): Promise<void> {
    const operations = group.flatMap(({ operation }) => operation ?? [])
    const startedAt = performance.now()
    try {
      const outcome = await run(operations, (to) => commit(to, sender(), operations))
      onGroup(operations.length, performance.now() - startedAt)
      for (const [index, asked] of group.entries()) answer(asked, outcome.values[index])
      onAnswered(outcome, lane)
    } catch (error) {
      if (isUnavailable(error) || group.length === 1) {
        for (const asked of group) answer(asked, asError(error))
        return
      }
      // One of them is to blame: the others are committed without it.
      for (const asked of group) await runGroup([asked])
    }
  }

  async function runAlone(asked: Asked<Operation>, alone: Commit<null>): Promise<void> {
    try {
      const outcome = await run([], (to) => alone(to, sender(), null))
      answer(asked, outcome.values[0])
      onAnswered(outcome, lane)
    } catch (error) {
      answer(asked, asError(error))
    }
  }

  /** What goes alone waits for all before it, and lets nothing pass. */
  function takeNext(): Asked<Operation>[] {
    if (queue[0]?.alone) return queue.splice(0, 1)
    const end = queue.findIndex(({ alone }) => alone !== null)
    const places = next(queue.slice(0, end === -1 ? undefined : end).flatMap(({ operation }) => operation ?? []))
    const taken = queue.filter((_, place) => places.has(place))
    queue = queue.filter((_, place) => !places.has(place))
    return taken
  }

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const group = takeNext()
      const [first] = group
      if (first?.alone) await runAlone(first, first.alone)
      else await runGroup(group)
      await nextTurn()
    }
    running = null
  }

  function enqueue(operation: Operation | null, alone: Commit<null> | null): Promise<unknown> {
    const asked = { operation, alone, ...Promise.withResolvers<unknown>() }
    queue.push(asked)
    const { promise } = asked
    pending.add(promise)
    const forget = (): void => void pending.delete(promise)
    promise.then(forget, forget)
    // What this turn of the event loop asks for goes together.
    running ??= nextTurn().then(drain)
    return promise
  }

  return {
    ask: (operation) => enqueue(operation, null),
    askAlone: (alone) => enqueue(null, alone),
    lastWaiting: () => queue.at(-1)?.operation ?? null,
    settled: () => (pending.size === 0 ? null : Promise.allSettled(pending)),
    isInDoubt: () => doubt !== null,
    async close() {
      await running
      await connection?.end()
    },
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

function refusalOf(error: Error, { operation }: Asked<{ readonly verb: string }>): AppError {
  if (error instanceof AppError) return error
  return appErrorOf(error, operation?.verb ?? 'a transaction')
}
