/** The pause between two tries to commit something. */
import { setTimeout as sleep } from 'node:timers/promises'
import { backOffMs } from '../domain/job.ts'

const firstMs = 50
const maxMs = 2_000

/** Resolves at once when the signal is aborted. @param failures so far, 1 after the first */
export async function pauseAfter(failures: number, signal: AbortSignal): Promise<void> {
  await sleep(backOffMs(failures, firstMs, maxMs), undefined, { signal }).catch(() => {})
}
