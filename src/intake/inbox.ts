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
  /** When requests with a task that this process does not have were first seen, by id. */
  const firstSeen = new Map<string, number>()
  /** Whether the inbox may have requests that were not read yet. */
  let mayHaveMore = false
  let isStopped = true
  let reading: Promise<void> | null = null

  /** Requests that this process leaves to others now. */
  function leftNow(): string[] {
    const now = performance.now()
    // Remembered for longer: if no process took the request, `leaveToOthers` must not leave it again.
    for (const [id, since] of firstSeen) if (now - since > 2 * leaveMs) firstSeen.delete(id)
    return [...firstSeen].flatMap(([id, since]) => (now - since < leaveMs ? id : []))
  }

  /** @returns false if the request was left to other processes for long enough, or if there is no room to remember it */
  function leaveToOthers(id: string): boolean {
    const now = performance.now()
    if (!firstSeen.has(id) && firstSeen.size < maxLeft) firstSeen.set(id, now)
    const since = firstSeen.get(id)
    return since !== undefined && now - since < leaveMs
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
      // `run_tasks` takes jsonb, so the text is JSON.
      const { task, tags } = text === null ? { task: null, tags: [] } : partsOf(text)
      await intake.refuse(id, { task: task ?? unnamedTask, tags, message })
    }
  }

  async function takeUpAll(requests: readonly InboxRequest[]): Promise<void> {
    const results = await Promise.allSettled(requests.map(takeUp))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  async function readAll(): Promise<void> {
    while (mayHaveMore && !isStopped && intake.isOpen()) {
      // `wake` can set it again during the read.
      mayHaveMore = false
      if (await inbox.take({ except: leftNow(), maxBytes: maxBodyBytes }, takeUpAll)) mayHaveMore = true
    }
  }

  function wake(): void {
    mayHaveMore = true
    if (isStopped || reading !== null) return
    reading = readAll()
      // The store calls `wake` about every second while requests wait.
      .catch((error: unknown) => log.debug({ err: error }, 'requests wait in the inbox'))
      .then(() => void (reading = null))
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
