/**
 * Paused tasks, whose jobs are not claimed. A claim that looks into the queue asks the table; what this process knows of it, by
 * notifications and a look each second, decides where nothing is looked for: for jobs that are claimed as they are accepted.
 */
import type { Query } from '../connection/connection.ts'

export interface PausedTasks {
  all(): ReadonlySet<string>
  has(task: string): boolean
  /** Notifies the other processes with the commit. @throws DatabaseFailure */
  set(task: string, isPaused: boolean): Promise<void>
  /** @throws DatabaseFailure */
  refresh(): Promise<void>
}

/** As SQL has it: whether the task may start. */
export function isNotPaused(task: string): string {
  return `NOT EXISTS (SELECT FROM paused_task WHERE paused_task.task = ${task})`
}

const select = { name: 'select-paused', text: 'SELECT task FROM paused_task' }
const pause = {
  name: 'pause-task',
  text: `WITH paused AS (INSERT INTO paused_task VALUES ($1) ON CONFLICT (task) DO NOTHING) SELECT pg_notify($2, $3)`,
}
const resume = {
  name: 'resume-task',
  text: `WITH resumed AS (DELETE FROM paused_task WHERE task = $1) SELECT pg_notify($2, $3)`,
}

/** @param message that the others receive: they read the table again */
export function createPausedTasks(query: Query, channel: string, message: string): PausedTasks {
  let paused: ReadonlySet<string> = new Set()
  let reads = 0
  let newest = 0

  async function refresh(): Promise<void> {
    reads += 1
    const read = reads
    const rows = await query(select)
    // Two reads run on two connections, and the older one can return last.
    if (read < newest) return
    newest = read
    paused = new Set(rows.map(({ task }) => String(task)))
  }

  return {
    all: () => paused,
    has: (task) => paused.has(task),
    async set(task, isPaused) {
      await query(isPaused ? pause : resume, [task, channel, message])
      await refresh()
    },
    refresh,
  }
}
