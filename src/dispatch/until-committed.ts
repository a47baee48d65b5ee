/** Asks the store again, with growing pauses, until it has answered. */
import { setTimeout as sleep } from 'node:timers/promises'
import { backOffMs } from '../domain/retry.ts'

const firstRetryMs = 50
const maxRetryMs = 2_000

/**
 * @param onFailure called with each failure; what it throws ends the tries
 * @returns null when the signal was aborted before
 */
export async function untilCommitted<Value>(
  ask: () => Promise<Value>,
  signal: AbortSignal,
  onFailure: (error: unknown) => void,
): Promise<{ readonly value: Value } | null> {
  for (let failures = 1; !signal.aborted; failures += 1) {
    try {
      return { value: await ask() }
    } catch (error) {
      onFailure(error)
      await sleep(backOffMs(failures, firstRetryMs, maxRetryMs), undefined, { signal }).catch(() => {})
    }
  }
  return null
}
