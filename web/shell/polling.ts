/** Polls the service while the tab is visible, and keeps the last error. */
import { batch, computed, signal, type ReadonlySignal } from '@preact/signals'
import { client, isReachable, needsKey, wordsOf } from './service.ts'

type Api = ReturnType<typeof client.peek>

export interface Polling {
  /** Empty if there is no error. */
  readonly trouble: ReadonlySignal<string>
  /** Executes an action, and shows its error until the next poll. */
  attempt(work: () => Promise<void>): Promise<void>
  poll(): Promise<void>
  start(): void
  stop(): void
}

/** @param read requests the data; the function that it resolves to shows all of it at once */
export function createPolling(
  everyMs: number,
  read: (api: Api, options: { readonly signal: AbortSignal }) => Promise<() => void>,
): Polling {
  const trouble = signal('')
  let timer: ReturnType<typeof setTimeout> | undefined
  let end = new AbortController()

  async function poll(): Promise<void> {
    const { signal: ended } = end
    try {
      const show = await read(client.peek(), { signal: ended })
      if (ended.aborted) return
      batch(() => {
        show()
        trouble.value = ''
      })
    } catch (error) {
      if (ended.aborted) return
      trouble.value = wordsOf(error)
    }
    clearTimeout(timer)
    if (!document.hidden && !needsKey.value) timer = setTimeout(() => void poll(), everyMs)
  }

  function onVisible(): void {
    clearTimeout(timer)
    if (!document.hidden) void poll()
  }

  return {
    trouble: computed(() => (isReachable.value ? trouble.value : 'The service cannot be reached. Trying again…')),
    async attempt(work) {
      try {
        await work()
      } catch (error) {
        trouble.value = wordsOf(error)
      }
    },
    poll,
    start() {
      end = new AbortController()
      document.addEventListener('visibilitychange', onVisible)
      void poll()
    },
    stop() {
      end.abort()
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', onVisible)
    },
  }
}
