/** POST /run-tasks, sent again with the same key as long as that is safe and worth it. */
import type { RunInput } from '../http/run-schema.ts'
import type { RunView } from '../http/run-view.ts'
import { backOffMs, pause } from './pause.ts'
import { ProblemError } from './problem-error.ts'
import { isPassing, type Send } from './transport.ts'

export interface RunTasksOptions {
  /** The longest time to wait for the answer, in seconds, 60 at the most; default: as long as the task takes. */
  readonly waitS?: number
  /** Rather be answered at once, without a result. */
  readonly respondAsync?: boolean
  /** 1 to 255 characters; default: a new one for each call. */
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
}

const maxTries = 5
const firstPauseMs = 200
/** A service that wants to be left alone for longer is not asked again. */
const maxRetryAfterS = 60
/** How long a try waits that finds an earlier one still being answered. */
const joinS = 60

export async function runTasks(send: Send, request?: RunInput, options: RunTasksOptions = {}): Promise<RunView> {
  const { waitS, respondAsync = false, idempotencyKey = newKey(), signal } = options
  // The same bytes each time, or the key would be refused.
  const body = request === undefined ? undefined : JSON.stringify(request)
  let joins = false

  async function once(): Promise<RunView> {
    const waits = waitS ?? (joins && !respondAsync ? joinS : undefined)
    const prefer = [...(respondAsync ? ['respond-async'] : []), ...(waits === undefined ? [] : [`wait=${waits}`])]
    const headers = {
      'Idempotency-Key': `"${idempotencyKey.replaceAll(/["\\]/g, String.raw`\$&`)}"`,
      ...(prefer.length > 0 && { Prefer: prefer.join(', ') }),
    }
    const response = await send({ method: 'POST', path: '/run-tasks', headers, body, signal })
    return (await response.json()) as RunView
  }

  for (let tries = 1; ; tries += 1) {
    try {
      return await once()
    } catch (error) {
      const isInProgress = error instanceof ProblemError && error.code === 'idempotency-in-progress'
      joins ||= isInProgress
      const isOver = tries === maxTries || !(isInProgress || isPassing(error))
      const after = error instanceof ProblemError ? error.retryAfterS : null
      if (isOver || (after ?? 0) > maxRetryAfterS) throw error
      await pause(after === null ? backOffMs(tries, firstPauseMs) : after * 1_000, signal)
    }
  }
}

/** 128 random bits; `crypto.randomUUID` is missing on pages that are not served securely. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
