/** The schedules, polled while the tab is visible, and the actions on a schedule. */
import { signal, type ReadonlySignal } from '@preact/signals'
import type { ScheduleView } from 'forerunner/client'
import { createPolling } from '../shell/polling.ts'
import { client } from '../shell/service.ts'

export interface ScheduleStore {
  /** null until they are loaded. */
  readonly schedules: ReadonlySignal<readonly ScheduleView[] | null>
  /** Runs that were started on this page, by schedule. */
  readonly started: ReadonlySignal<ReadonlyMap<string, string>>
  readonly trouble: ReadonlySignal<string>
  run(name: string): Promise<void>
  setPaused(name: string, isPaused: boolean): Promise<void>
  start(): void
  stop(): void
}

const pollMs = 5_000

export function createScheduleStore(): ScheduleStore {
  const schedules = signal<readonly ScheduleView[] | null>(null)
  const started = signal<ReadonlyMap<string, string>>(new Map())
  const { trouble, attempt, poll, start, stop } = createPolling(pollMs, async (api, options) => {
    const all = await api.listSchedules(options)
    return () => {
      schedules.value = all
    }
  })

  async function act(work: () => Promise<void>): Promise<void> {
    await attempt(async () => {
      await work()
      await poll()
    })
  }

  return {
    schedules,
    started,
    trouble,
    run: (name) =>
      act(async () => {
        const { id } = await client.peek().runSchedule(name)
        started.value = new Map([...started.value, [name, id]])
      }),
    setPaused: (name, isPaused) =>
      act(async () => {
        const { pauseSchedule, resumeSchedule } = client.peek()
        await (isPaused ? pauseSchedule : resumeSchedule)(name)
      }),
    start,
    stop,
  }
}
