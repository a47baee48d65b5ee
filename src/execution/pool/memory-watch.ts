/** Watches from outside how much memory the attempts on `cpu` threads take, for V8's own limit can end the process. */

const lookEveryMs = 50

export interface Watched {
  /** Bytes of heap and external memory that the thread holds now; waits while the thread is in native code. */
  measure(): Promise<number>
  /** Bytes that it held when the attempt began. */
  startBytes(): number
  readonly limitBytes: number
  onExceeded(usedBytes: number): void
}

export interface MemoryWatch {
  /** @returns a function that ends the watching */
  watch(attempt: Watched): () => void
}

/** One timer for all attempts, and at most one measurement of each under way. */
export function createMemoryWatch(): MemoryWatch {
  const watched = new Set<Watched>()
  const measuring = new Set<Watched>()
  let timer: NodeJS.Timeout | undefined

  async function look(attempt: Watched): Promise<void> {
    measuring.add(attempt)
    try {
      const usedBytes = (await attempt.measure()) - attempt.startBytes()
      if (watched.has(attempt) && usedBytes > attempt.limitBytes) attempt.onExceeded(usedBytes)
    } catch {
      // The thread has ended, and with it the attempt.
    } finally {
      measuring.delete(attempt)
    }
  }

  function lookAtAll(): void {
    for (const attempt of watched) if (!measuring.has(attempt)) void look(attempt)
  }

  return {
    watch(attempt) {
      watched.add(attempt)
      timer ??= setInterval(lookAtAll, lookEveryMs)
      return () => {
        watched.delete(attempt)
        if (watched.size > 0) return
        clearInterval(timer)
        timer = undefined
      }
    },
  }
}
