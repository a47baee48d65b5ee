/**
 * The embedded engine as the rest of the service sees it: sends operations to the store's thread in groups. What comes in
 * while a group is being committed and replied to is the next group (group commit).
 */
import { randomUUID } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { AppError, BootError } from '../../domain/errors.ts'
import type { RunChange } from '../../domain/run.ts'
import { createTurnScheduler } from '../../runtime/event-loop.ts'
import type { Log } from '../../log.ts'
import type { StallOptions } from '../../runtime/stall-watch.ts'
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

export interface SqliteOptions {
  /** `:memory:` or a file's path. */
  readonly path: string
  /** How long to wait for another process to let go of the file, in milliseconds. */
  readonly lockWaitMs: number
  /** Tasks that run here: no job of another one is claimed. Default: any. */
  readonly tasks?: readonly string[]
  /** Ends the process when the main thread stands still; default: nobody watches. */
  readonly stall?: StallOptions
  /** Whether runs can be found by their words; the index is built some time after the commits. Default: no. */
  readonly hasSearch?: boolean
  readonly log: Log
  /** Called with each group that was committed: how many verbs it held, and how long it took, in milliseconds. */
  readonly onCommit?: (verbs: number, tookMs: number) => void
  /** Called when the store's thread is gone for good: nothing can be accepted or settled any more. */
  readonly onLost: (error: Error) => void
}

interface Pending extends Operation {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** Each reply causes up to a tenth of a millisecond of work. */
const repliesPerTurn = 128
/** Of the thread, in MiB: V8's own bound is 192, which garbage fills under load. */
const maxYoungGenerationSizeMb = 6
/** How long a commit counts as proof that the disk takes writes. */
const freshMs = 2_000

type State = 'new' | 'opening' | 'open' | 'closing' | 'closed'

export function createSqliteStore(options: SqliteOptions): Store {
  const listeners: ((change: RunChange) => void)[] = []
  let state: State = 'new'
  let worker: Worker | null = null
  let waiting: Pending[] = []
  let inFlight: Pending[] = []
  /** Whether operations of a committed group still wait for their replies. */
  let isReplying = false
  let sentAt = 0
  let backlog = 0
  let paused = new Set<string>()
  /** When a group was last written, on the clock of `performance.now()`; at no time since one could not be. */
  let writtenAt = Number.NEGATIVE_INFINITY
  let isCloseSent = false
  const opened = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<void>()
  const turns = createTurnScheduler(repliesPerTurn)

  function send(message: ToThread): void {
    worker?.postMessage(message)
  }

  function flush(): void {
    if (inFlight.length > 0 || isReplying || state === 'opening') return
    if (waiting.length > 0) {
      inFlight = waiting
      waiting = []
      sentAt = performance.now()
      send(inFlight.map(({ verb, args }) => ({ verb, args })))
    } else if (state === 'closing' && !isCloseSent) {
      // A turn can run after the reply to its own operation.
      isCloseSent = true
      send('close')
    }
  }

  function call<Name extends Verb>(verb: Name) {
    return (...args: Parameters<Store[Name]>): ReturnType<Store[Name]> => {
      const asked = Promise.withResolvers<unknown>()
      if (state !== 'open') {
        asked.reject(new AppError('store-unavailable', 'the store is not open'))
      } else {
        waiting.push({ verb, args, resolve: asked.resolve, reject: asked.reject })
        // Operations of the same turn of the event loop form one group.
        if (waiting.length === 1 && inFlight.length === 0) setImmediate(flush)
      }
      // The thread replies with the verb's result; the message does not carry its type.
      return asked.promise as ReturnType<Store[Name]>
    }
  }

  function deliver(pending: Pending, reply: Reply | undefined): void {
    if (reply?.ok === true) pending.resolve(reply.value)
    else pending.reject(new AppError(reply?.code ?? 'internal', `${pending.verb}: ${reply?.message ?? 'no reply'}`))
  }

  // `call` takes the name of each verb of the store, and gives the verb.
  const verbs = Object.fromEntries(allVerbs.map((verb) => [verb, call(verb)])) as Pick<Store, Verb>

  function notify(change: RunChange): void {
    for (const listener of listeners) listener(change)
  }

  /** Operations that the replies cause join the next group: commits are fewer and larger. */
  function endGroup(): void {
    isReplying = false
    setImmediate(flush)
  }

  function settle({ replies, changes, hasWritten }: Group): void {
    const settled = inFlight
    const hasFailed = replies.some((reply) => !reply.ok && reply.code === 'store-unavailable')
    if (hasFailed) writtenAt = Number.NEGATIVE_INFINITY
    else if (hasWritten) writtenAt = sentAt
    options.onCommit?.(settled.length, performance.now() - sentAt)
    inFlight = []
    isReplying = true
    // Notify before replying: a listener that stops a void claim must not mistake it for a new claim from the same commit.
    for (const change of changes) turns.run(() => notify(change))
    for (const [index, pending] of settled.entries()) turns.run(() => deliver(pending, replies[index]))
    turns.run(endGroup)
  }

  function onMessage(message: FromThread): void {
    switch (message.type) {
      case 'open':
        state = 'open'
        backlog = message.backlog
        paused = new Set(message.paused)
        opened.resolve()
        break
      case 'waiting':
        options.log.warn(
          { database: options.path, owner: message.owner },
          `${message.owner} is using the database; waiting up to ${options.lockWaitMs} ms for it to leave`,
        )
        break
      case 'refused':
        state = 'closed'
        opened.reject(new BootError(message.message))
        break
      case 'done':
        backlog = message.backlog
        settle(message)
        break
      case 'unreadable':
        options.log.error({ database: options.path }, `${message.message}; it is left as it is`)
        break
      case 'search-failed':
        options.log.warn({ database: options.path }, `the index for search cannot be written: ${message.message}`)
        break
      case 'closed':
        state = 'closed'
        break
    }
  }

  function onGone(error: Error): void {
    const wasLost = state !== 'closed'
    state = 'closed'
    opened.reject(error)
    for (const pending of [...inFlight, ...waiting]) {
      pending.reject(new AppError('store-unavailable', 'the store has stopped', { cause: error }))
    }
    inFlight = []
    waiting = []
    closed.resolve()
    if (wasLost) options.onLost(error)
  }

  return {
    open() {
      if (state !== 'new') return Promise.reject(new Error('the store was opened before'))
      state = 'opening'
      const { path, lockWaitMs, tasks = null, stall = null, hasSearch = false } = options
      const workerData: ThreadOptions = { path, lockWaitMs, tasks, stall, hasSearch, owner: randomUUID() }
      const entry = import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js'
      // Node strips types by itself: a loader inherited from the main thread would slow the start.
      const resourceLimits = { maxYoungGenerationSizeMb }
      worker = new Worker(new URL(entry, import.meta.url), { workerData, resourceLimits, execArgv: [], name: 'store' })
      worker.on('message', onMessage)
      worker.on('error', onGone)
      worker.on('exit', (code) => onGone(new Error(`the store's thread ended with code ${code}`)))
      return opened.promise
    },
    async close() {
      if (state === 'opening') await opened.promise.catch(() => {})
      if (state === 'new') state = 'closed'
      if (state === 'closed') return
      if (state === 'closing') return closed.promise
      state = 'closing'
      flush()
      await closed.promise
    },
    onChange: (listener) => void listeners.push(listener),
    canSearch: options.hasSearch === true,
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
    checkWritable: () => (performance.now() - writtenAt < freshMs ? Promise.resolve() : verbs.checkWritable()),
  }
}
