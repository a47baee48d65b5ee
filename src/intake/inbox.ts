/**
 * Turns requests that other programs have committed in the store into runs; an invalid request becomes a failed run that
 * says why. While there is no room, or the service leaves, requests stay in the inbox.
 */
import { AppError, messageOf } from '../domain/errors.ts'
import type { RunRequest } from '../domain/run/new-run.ts'
import type { Log } from '../log.ts'
import type { Inbox, InboxRequest } from '../store/store.ts'
import type { Intake } from './intake.ts'

interface InboxReader {
  start(): void
  /** Resolves when no request is being processed. */
  stop(): Promise<void>
}

/** The parts of an invalid request that can still be read. */
export interface RequestParts {
  /** Name of the first task; null: none. */
  readonly task: string | null
  readonly tags: readonly string[]
}

interface InboxReaderOptions {
  readonly inbox: Inbox
  readonly intake: Pick<Intake, 'takeUp' | 'refuse' | 'isOpen'>
  /** Checks the form of a request's text. @throws AppError */
  readonly parse: (text: string) => RunRequest
  readonly partsOf: (text: string) => RequestParts
  readonly maxBodyBytes: number
  readonly log: Log
}

/** How long a request whose task this process does not have is left to other processes. */
const leaveMs = 10_000
const maxLeft = 1_000
const maxMessageLength = 2_000
/** Name of the task in the run of a refused request that names none. */
const unnamedTask = 'run_tasks'

export function createInboxReader(options: InboxReaderOptions): InboxReader {
  const { inbox, intake, parse, partsOf, maxBodyBytes, log } = options
  /** Requests with a task that this process does not have, by id, with the instant when they were first seen. */
  const left = new Map<string, number>()
  let hasNewRequests = false
  let isStopped = true
  let reading: Promise<void> | null = null

  /** Requests that this process leaves to others now. */
  function leftNow(): string[] {
    const now = performance.now()
    // After twice that time, the request has become a run or waits for other reasons.
    for (const [id, since] of left) if (now - since > 2 * leaveMs) left.delete(id)
    return [...left].flatMap(([id, since]) => (now - since < leaveMs ? id : []))
  }

  /** Whether other processes can still take the request. Remembers since when it waits for them. */
  function leaveToOthers(id: string): boolean {
    const now = performance.now()
    const since = left.get(id) ?? now
    if (left.size < maxLeft) left.set(id, since)
    return left.has(id) && now - since < leaveMs
  }

  async function takeUp({ id, text }: InboxRequest): Promise<void> {
    try {
      if (text === null) throw new AppError('content-too-large', `the request is larger than ${maxBodyBytes} bytes`)
      await intake.takeUp(id, { ...parse(text), respond: 'none' })
    } catch (error) {
      if (error instanceof AppError && error.status >= 500) throw error
      if (error instanceof AppError && error.code === 'unknown-task' && leaveToOthers(id)) return
      if (!(error instanceof AppError)) log.error({ runId: id, err: error }, 'a request of the inbox cannot be checked')
      const message = messageOf(error).slice(0, maxMessageLength).toWellFormed()
      const { task, tags } = text === null ? { task: null, tags: [] } : partsOf(text)
      await intake.refuse(id, { task: task ?? unnamedTask, tags, message })
    }
  }

  async function takeUpAll(requests: readonly InboxRequest[]): Promise<void> {
    const results = await Promise.allSettled(requests.map(takeUp))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  async function readAll(): Promise<void> {
    let hasMore = true
    while (hasMore && !isStopped && intake.isOpen()) {
      hasNewRequests = false
      const taken = await inbox.take({ except: leftNow(), maxBytes: maxBodyBytes }, takeUpAll)
      hasMore = taken || hasNewRequests
    }
  }

  function wake(): void {
    hasNewRequests = true
    if (isStopped || reading !== null) return
    reading = readAll()
      // The store looks for requests again within a second.
      .catch((error: unknown) => log.debug({ err: error }, 'requests wait in the inbox'))
      .then(() => {
        reading = null
      })
  }
  inbox.onRequests(wake)

  return {
    start() {
      isStopped = false
      wake()
    },
    async stop() {
      isStopped = true
      await reading
    },
  }
}
