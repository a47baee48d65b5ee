/**
 * The embedded engine as the rest of the service sees it: sends operations to the store's thread in groups. The
 * operations that arrive while one group is committed and replied to are the next group (group commit).
 */
import { Worker } from 'node:worker_threads'
import { AppError, BootError } from '../../domain/errors.ts'
import type { ChangeListener, RunChange } from '../../domain/run.ts'
import { createTurnScheduler } from '../../runtime/event-loop.ts'
import type { Log } from '../../log.ts'
import type { Store } from '../store.ts'
import {
  allVerbs,
  type FromThread,
  type Group,
  type Operation,
  type Reply,
  type ThreadOptions,
  type ToThread,
  type Verb,
} from './messages.ts'

export interface SqliteOptions extends ThreadOptions {
  readonly log: Log
  /** Called for each committed group: how many verbs it had, and how long it took, in milliseconds. */
  readonly onCommit?: (verbs: number, tookMs: number) => void
  /** Called when the store's thread has ended without a call of `close`: nothing can be accepted or settled any more. */
  readonly onLost: (error: Error) => void
}

interface Call extends Operation {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** Each reply causes up to a tenth of a millisecond of work. */
const repliesPerTurn = 128
/** Bound on the thread's young generation: V8's default is 192 MiB, which garbage fills under load. */
const maxYoungGenerationSizeMb = 6
/** How long a commit counts as proof that the disk takes writes. */
const writableMs = 2_000

export function createSqliteStore(options: SqliteOptions): Store {
  const { path, lockWaitMs, tasks, stall, hasSearch = false, log, onCommit, onLost } = options
  const listeners: ChangeListener[] = []
  let state: 'new' | 'opening' | 'open' | 'closing' | 'closed' = 'new'
  let worker: Worker | null = null
  /** Calls of the next group. */
  let queued: Call[] = []
  let inFlight: Call[] = []
  /** Whether calls of a committed group still wait for their replies. */
  let isReplying = false
  let sentAt = 0
  let backlog = 0
  let paused = new Set<string>()
  /** When a group was last written, by `performance.now()`; reset by a failed write. */
  let writtenAt = -Infinity
  let isCloseSent = false
  const opened = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<void>()
  const turns = createTurnScheduler(repliesPerTurn)

  function send(message: ToThread): void {
    worker?.postMessage(message)
  }

  /** Sends the queued calls, one group at a time; when none is left of a closing store, sends `close`. */
  function flush(): void {
    if (inFlight.length > 0 || isReplying || state === 'opening') return
    if (queued.length > 0) {
      inFlight = queued
      queued = []
      sentAt = performance.now()
      send(inFlight.map(({ verb, args }) => ({ verb, args })))
    } else if (state === 'closing' && !isCloseSent) {
      // `flush` can run again while the thread closes.
      isCloseSent = true
      send('close')
    }
  }

  function call(verb: Verb, args: readonly unknown[]): Promise<unknown> {
    if (state !== 'open') return Promise.reject(new AppError('store-unavailable', 'the store is not open'))
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    queued.push({ verb, args, resolve, reject })
    // The calls of one turn of the event loop form a group. While another group is under way, `endGroup` sends the next.
    if (queued.length === 1 && inFlight.length === 0) setImmediate(flush)
    return promise
  }

  // The messages do not carry the types of the verbs.
  const verbs = Object.fromEntries(
    allVerbs.map((verb) => [verb, (...args: readonly unknown[]) => call(verb, args)]),
  ) as unknown as Pick<Store, Verb>

  function notify(change: RunChange): void {
    for (const listener of listeners) listener(change)
  }

  function reply({ verb, resolve, reject }: Call, result: Reply | undefined): void {
    if (result?.ok === true) resolve(result.value)
    else reject(new AppError(result?.code ?? 'internal', `${verb}: ${result?.message ?? 'no reply'}`))
  }

  /** The next group waits for the calls that the replies cause: that makes commits fewer and larger. */
  function endGroup(): void {
    isReplying = false
    setImmediate(flush)
  }

  function finish({ replies, changes, hasWritten }: Group): void {
    const calls = inFlight
    const hasFailed = replies.some((result) => !result.ok && result.code === 'store-unavailable')
    if (hasFailed) writtenAt = -Infinity
    else if (hasWritten) writtenAt = sentAt
    onCommit?.(calls.length, performance.now() - sentAt)
    inFlight = []
    isReplying = true
    // Notify before replying: the reply to a claim can start the job that the same commit cancelled, and the listener that
    // stops the cancelled attempt must not stop the new one.
    for (const change of changes) turns.run(() => notify(change))
    for (const [index, one] of calls.entries()) turns.run(() => reply(one, replies[index]))
    turns.run(endGroup)
  }

  function onMessage(message: FromThread): void {
    switch (message.type) {
      case 'in-use':
        log.warn(
          { database: path, owner: message.owner },
          `${message.owner} is using the database; waiting up to ${lockWaitMs} ms for it to leave`,
        )
        break
      case 'open':
        state = 'open'
        backlog = message.backlog
        paused = new Set(message.paused)
        opened.resolve()
        break
      case 'refused':
        state = 'closed'
        opened.reject(new BootError(message.message))
        break
      case 'done':
        backlog = message.backlog
        finish(message)
        break
      case 'unreadable':
        log.error({ database: path }, `${message.message}; it is left as it is`)
        break
      case 'search-failed':
        log.warn({ database: path }, `the index for search cannot be written: ${message.message}`)
        break
      case 'closed':
        state = 'closed'
        break
    }
  }

  function onThreadEnd(error: Error): void {
    const wasLost = state !== 'closed'
    state = 'closed'
    opened.reject(error)
    for (const { reject } of [...inFlight, ...queued]) {
      reject(new AppError('store-unavailable', 'the store has stopped', { cause: error }))
    }
    inFlight = []
    queued = []
    closed.resolve()
    if (wasLost) onLost(error)
  }

  return {
    open() {
      if (state !== 'new') return Promise.reject(new Error('the store was opened before'))
      state = 'opening'
      const workerData: ThreadOptions = {
        path,
        lockWaitMs,
        hasSearch,
        ...(tasks && { tasks }),
        ...(stall && { stall }),
      }
      const entry = import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js'
      worker = new Worker(new URL(entry, import.meta.url), {
        workerData,
        resourceLimits: { maxYoungGenerationSizeMb },
        // Node strips types by itself: a loader inherited from the main thread would slow the start.
        execArgv: [],
        name: 'store',
      })
      worker.on('message', onMessage)
      worker.on('error', onThreadEnd)
      worker.on('exit', (code) => onThreadEnd(new Error(`the store's thread ended with code ${code}`)))
      return opened.promise
    },
    async close() {
      if (state === 'opening') await opened.promise.catch(() => {})
      if (state === 'new') state = 'closed'
      if (state === 'closed') return
      if (state === 'open') {
        state = 'closing'
        flush()
      }
      await closed.promise
    },
    onChange: (listener) => void listeners.push(listener),
    canSearch: hasSearch,
    // No other process has the file open.
    notifier: null,
    backlog: () => backlog,
    pausedTasks: () => paused,

    ...verbs,
    async setPaused(task, isPaused) {
      await verbs.setPaused(task, isPaused)
      if (isPaused) paused.add(task)
      else paused.delete(task)
    },
    checkWritable: () => (performance.now() - writtenAt < writableMs ? Promise.resolve() : verbs.checkWritable()),
  }
}
