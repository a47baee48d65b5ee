/** What the service says of one task, asked for again while the tab is visible; its failures less often. */
import { batch, computed, signal, type ReadonlySignal } from '@preact/signals'
import type { RecentView, RunView, TaskView } from 'forerunner/client'
import { client, isReachable, needsKey, serviceNow, wordsOf } from '../shell/service.ts'
import { groupFailures, type FailureReport } from './failure-groups.ts'

export interface TaskStore {
  /** undefined until it is known; null for a task that no process has. */
  readonly task: ReadonlySignal<TaskView | null | undefined>
  readonly recent: ReadonlySignal<RecentView | null>
  readonly failures: ReadonlySignal<FailureReport | null>
  /** The newest ones that have a job of it. */
  readonly runs: ReadonlySignal<readonly RunView[]>
  readonly trouble: ReadonlySignal<string>
  /** Pauses it, or lets it go on. */
  setPaused(isPaused: boolean): Promise<void>
  start(): void
  stop(): void
}

const pollMs = 2_000
/** In polls. */
const failuresEvery = 5
const readFailures = 200
const readRuns = 8

export function createTaskStore(name: string): TaskStore {
  const task = signal<TaskView | null | undefined>(undefined)
  const recent = signal<RecentView | null>(null)
  const failures = signal<FailureReport | null>(null)
  const runs = signal<readonly RunView[]>([])
  const trouble = signal('')
  let timer: ReturnType<typeof setTimeout> | undefined
  let end = new AbortController()
  let polls = 0

  async function poll(): Promise<void> {
    const options = { signal: end.signal }
    const api = client.peek()
    try {
      const isFull = polls % failuresEvery === 0
      const [tasks, minutes, failed, newest] = await Promise.all([
        api.listTasks(options),
        api.recent(options),
        isFull ? api.listRuns({ task: name, state: 'failed', pageSize: readFailures }, options) : null,
        isFull ? api.listRuns({ task: name, pageSize: readRuns }, options) : null,
      ])
      polls += 1
      batch(() => {
        task.value = tasks.find((one) => one.name === name) ?? null
        recent.value = minutes
        if (failed !== null) failures.value = groupFailures(name, failed.runs, serviceNow())
        if (newest !== null) runs.value = newest.runs
        trouble.value = ''
      })
    } catch (error) {
      if (options.signal.aborted) return
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
    task,
    recent,
    failures,
    runs,
    trouble: computed(() => (isReachable.value ? trouble.value : 'The service cannot be reached. Trying again…')),
    async setPaused(isPaused) {
      const { pauseTask, resumeTask } = client.peek()
      try {
        task.value = await (isPaused ? pauseTask : resumeTask)(name)
        trouble.value = ''
      } catch (error) {
        trouble.value = wordsOf(error)
      }
    },
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
