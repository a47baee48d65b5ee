/** What the service knows about one task, polled while the tab is visible; its failures are polled less often. */
import { signal, type ReadonlySignal } from '@preact/signals'
import type { RecentView, RunView, TaskView } from 'forerunner/client'
import { createPolling } from '../shell/polling.ts'
import { client, serviceNow } from '../shell/service.ts'
import { groupFailures, type FailureReport } from './failure-groups.ts'

export interface TaskStore {
  /** undefined until it is loaded; null for a task that no process has. */
  readonly task: ReadonlySignal<TaskView | null | undefined>
  readonly recent: ReadonlySignal<RecentView | null>
  readonly failures: ReadonlySignal<FailureReport | null>
  /** The newest runs with a job of the task. */
  readonly runs: ReadonlySignal<readonly RunView[]>
  readonly trouble: ReadonlySignal<string>
  /** Pauses or resumes the task. */
  setPaused(isPaused: boolean): Promise<void>
  start(): void
  stop(): void
}

const pollMs = 2_000
/** Number of polls. */
const failuresEvery = 5
const readFailures = 200
const readRuns = 8

export function createTaskStore(name: string): TaskStore {
  const task = signal<TaskView | null | undefined>(undefined)
  const recent = signal<RecentView | null>(null)
  const failures = signal<FailureReport | null>(null)
  const runs = signal<readonly RunView[]>([])
  let polls = 0
  const { trouble, attempt, start, stop } = createPolling(pollMs, async (api, options) => {
    const isFull = polls % failuresEvery === 0
    const [tasks, minutes, failed, newest] = await Promise.all([
      api.listTasks(options),
      api.recent(options),
      isFull ? api.listRuns({ task: name, state: 'failed', pageSize: readFailures }, options) : null,
      isFull ? api.listRuns({ task: name, pageSize: readRuns }, options) : null,
    ])
    return () => {
      polls += 1
      task.value = tasks.find((one) => one.name === name) ?? null
      recent.value = minutes
      if (failed !== null) failures.value = groupFailures(name, failed.runs, serviceNow())
      if (newest !== null) runs.value = newest.runs
    }
  })

  return {
    task,
    recent,
    failures,
    runs,
    trouble,
    setPaused: (isPaused) =>
      attempt(async () => {
        const { pauseTask, resumeTask } = client.peek()
        task.value = await (isPaused ? pauseTask : resumeTask)(name)
      }),
    start,
    stop,
  }
}
