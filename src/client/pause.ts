/** Waiting between two tries. */

const maxPauseMs = 30_000

/** Doubles with each try and is drawn from its upper half, so that clients that failed together part. */
export function backOffMs(tries: number, firstMs: number): number {
  const limit = Math.min(maxPauseMs, firstMs * 2 ** (tries - 1))
  return limit / 2 + (Math.random() * limit) / 2
}

/** Rejects with the signal's reason as soon as it is aborted. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  const onAbort = (): void => reject(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    await promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}
