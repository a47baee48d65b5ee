/** The schedules, asked for again while the tab is visible, and what can be done with one. */
import { computed, signal, type ReadonlySignal } from '@preact/signals'
import type { ScheduleView } from 'forerunner/client'
import { client, isReachable, needsKey, wordsOf } from '../shell/service.ts'

export interface ScheduleStore {
  /** null until they are known. */
  readonly schedules: ReadonlySignal<readonly ScheduleView[] | null>
  /** The runs that were started here, by schedule. */
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
  const trouble = signal('')
  let timer: ReturnType<typeof setTimeout> | undefined
  let end = new AbortController()

  async function poll(): Promise<void> {
    const { signal: ended } = end
    clearTimeout(timer)
    try {
      schedules.value = await client.peek().listSchedules({ signal: ended })
      trouble.value = ''
    } catch (error) {
      if (ended.aborted) return
      trouble.value = wordsOf(error)
    }
    clearTimeout(timer)
    if (!document.hidden && !needsKey.value) timer = setTimeout(() => void poll(), pollMs)
  }

  async function act(work: () => Promise<void>): Promise<void> {
    try {
      await work()
      await poll()
    } catch (error) {
      trouble.value = wordsOf(error)
    }
  }

  function onVisible(): void {
    clearTimeout(timer)
    if (!document.hidden) void poll()
  }

  return {
    schedules,
    started,
    trouble: computed(() => (isReachable.value ? trouble.value : 'The service cannot be reached. Trying again…')),
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
