/** A response of the same form and size as Forerunner's, so that all contenders write the same amount. */
import { randomUUID } from 'node:crypto'

/** @param {readonly string[]} tasks names of the run's tasks; the first has completed, the others are running */
export function answerOf(tasks, result) {
  const id = randomUUID()
  const now = new Date().toISOString()
  return {
    id,
    state: 'running',
    version: 3,
    result,
    answer: { mode: 'first', jobIndex: 0 },
    createdAt: now,
    respondedAt: now,
    finishedAt: null,
    tags: [],
    jobs: tasks.map((task, index) => ({
      index,
      task,
      state: index === 0 ? 'completed' : 'running',
      thread: index === 0 ? 'main' : 'worker-2',
      attempt: 1,
      maxAttempts: index === 0 ? 1 : 3,
      queuedAt: now,
      startedAt: now,
      finishedAt: index === 0 ? now : null,
      runAt: null,
      progress: null,
      result: index === 0 ? result : null,
      error: null,
      failures: [],
    })),
    links: { self: `/runs/${id}` },
  }
}
