/** The figures of the service and the last minutes of its process, asked for again while the tab is visible. */
import { batch, computed, signal, type ReadonlySignal } from '@preact/signals'
import type { RecentView, StatsView } from 'forerunner/client'
import { client, isReachable, needsKey, wordsOf } from '../shell/service.ts'

export interface OverviewStore {
  readonly stats: ReadonlySignal<StatsView | null>
  readonly recent: ReadonlySignal<RecentView | null>
  readonly trouble: ReadonlySignal<string>
  start(): void
  stop(): void
}

const pollMs = 2_000

export function createOverviewStore(): OverviewStore {
  const stats = signal<StatsView | null>(null)
  const recent = signal<RecentView | null>(null)
  const trouble = signal('')
  let timer: ReturnType<typeof setTimeout> | undefined
  let end = new AbortController()

  async function poll(): Promise<void> {
    const { signal: ended } = end
    try {
      const { stats: readStats, recent: readRecent } = client.peek()
      const [now, minutes] = await Promise.all([readStats({ signal: ended }), readRecent({ signal: ended })])
      batch(() => {
        stats.value = now
        recent.value = minutes
        trouble.value = ''
      })
    } catch (error) {
      if (ended.aborted) return
      trouble.value = wordsOf(error)
    }
    clearTimeout(timer)
    if (!document.hidden && !needsKey.value) timer = setTimeout(() => void poll(), pollMs)
  }

  function onVisible(): void {
    clearTimeout(timer)
    if (!document.hidden) void poll()
  }

  return {
    stats,
    recent,
    trouble: computed(() => (isReachable.value ? trouble.value : 'The service cannot be reached. Trying again…')),
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
