/** The figures of the service and the last minutes of its process, polled while the tab is visible. */
import { signal, type ReadonlySignal } from '@preact/signals'
import type { RecentView, StatsView } from 'forerunner/client'
import { createPolling } from '../shell/polling.ts'

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
  const { trouble, start, stop } = createPolling(pollMs, async (api, options) => {
    const [now, minutes] = await Promise.all([api.stats(options), api.recent(options)])
    return () => {
      stats.value = now
      recent.value = minutes
    }
  })

  return { stats, recent, trouble, start, stop }
}
