/**
 * Takes up requests that were committed in the store by others than the service. Each becomes a run; one that is not valid
 * becomes a failed run that says why. Where there is no room, or the service leaves, requests wait in the inbox.
 */
import { AppError, messageOf } from '../domain/errors.ts'
import type { RunRequest } from '../domain/run/new-run.ts'
import type { Log } from '../log.ts'
import type { Inbox, InboxRequest } from '../store/store.ts'
import type { Intake } from './intake.ts'

export interface InboxReader {
  start(): void
  /** Resolves when none is being taken up. */
  stop(): Promise<void>
}

export interface RequestParts {
  /** Name of the first task. */
  readonly task: string | null
  readonly tags: readonly string[]
}

export interface InboxReaderOptions {
  readonly inbox: Inbox
  readonly intake: Pick<Intake, 'takeUp' | 'refuse' | 'isOpen'>
  /** Checks the form of a request's text. @throws AppError */
  readonly parse: (text: string) => RunRequest
  /** What can be kept of one that is not valid. */
  readonly partsOf: (text: string) => RequestParts
  readonly maxBodyBytes: number
  readonly log: Log
}

/** How long a request with a task that is not known here waits for a process that knows it. */
const unknownTaskMs = 10_000
const maxLeft = 1_000
const maxMessageLength = 2_000
/** The task of a refused request that names none. */
const unnamed = 'run_tasks'

export function createInboxReader(options: InboxReaderOptions): InboxReader {
  const { inbox, intake, parse, partsOf, maxBodyBytes, log } = options
  /** Requests with a task that is not known here, and since when, on the clock of `performance.now()`. */
  const left = new Map<string, number>()
  let isStale = false
  let isStopped = true
  let reading: Promise<void> | null = null

  /** Requests that are left to other processes for now. */
  function leftNow(): string[] {
    const now = performance.now()
    for (const [id, since] of left) if (now - since > 2 * unknownTaskMs) left.delete(id)
    return [...left].flatMap(([id, since]) => (now - since < unknownTaskMs ? id : []))
  }

  function isLeft(id: string): boolean {
    const now = performance.now()
    const since = left.get(id) ?? now
    if (left.size < maxLeft) left.set(id, since)
    return left.has(id) && now - since < unknownTaskMs
  }

  async function takeUp({ id, text }: InboxRequest): Promise<void> {
    try {
      if (text === null) throw new AppError('content-too-large', `the request is larger than ${maxBodyBytes} bytes`)
      await intake.takeUp(id, { ...parse(text), respond: 'none' })
    } catch (error) {
      if (error instanceof AppError && error.status >= 500) throw error
      if (error instanceof AppError && error.code === 'unknown-task' && isLeft(id)) return
      if (!(error instanceof AppError)) log.error({ runId: id, err: error }, 'a request of the inbox cannot be checked')
      const message = messageOf(error)
      const kept = text === null ? null : partsOf(text)
      await intake.refuse(id, { task: kept?.task ?? unnamed, tags: kept?.tags ?? [], message: cut(message) })
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
      isStale = false
      const taken = await inbox.take({ except: leftNow(), maxBytes: maxBodyBytes }, takeUpAll)
      hasMore = taken || isStale
    }
  }

  function wake(): void {
    isStale = true
    if (isStopped || reading !== null) return
    reading = readAll()
      // They are looked for again within a second.
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

function cut(message: string): string {
  return message.slice(0, maxMessageLength).toWellFormed()
}
