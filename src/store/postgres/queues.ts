/**
 * Waiting jobs lie in one index by kind, priority, whether they are due on every clock, and task. A queue is what these
 * four have in common. Few exist at a time, and they are found by skipping from one to the next, so that a queue that
 * is of no use to a claim costs one look-up, however long it is.
 */

/** As SQL has it, in a WITH RECURSIVE: every queue of these kinds. @param kinds an array */
export function waitingQueues(kinds: string): string {
  const order = 'ORDER BY priority DESC, is_due DESC, task DESC LIMIT 1'
  return `queue AS (
      SELECT first.* FROM unnest(${kinds}) AS named (kind) CROSS JOIN LATERAL (
        SELECT kind, priority, is_due, task FROM job WHERE kind = named.kind AND run_at IS NOT NULL ${order}) AS first
      UNION ALL
      SELECT next.* FROM queue CROSS JOIN LATERAL (
        SELECT kind, priority, is_due, task FROM job WHERE kind = queue.kind AND run_at IS NOT NULL
          AND (priority, is_due, task) < (queue.priority, queue.is_due, queue.task) ${order}) AS next
    )`
}

/** Of a row of job in the same scope as one of queue. */
export const isInQueue = `job.kind = queue.kind AND job.priority = queue.priority AND job.is_due = queue.is_due
  AND job.task = queue.task`

/** Until when jobs of the queue are due. @param at on the clock of whoever asks */
export function dueUntil(at: string): string {
  return `CASE WHEN queue.is_due THEN ${2n ** 63n - 1n} ELSE ${at}::bigint END`
}

/** Whether jobs of the task run here. @param tasks an array; null: any */
export function runsHere(task: string, tasks: string): string {
  return `(${tasks}::text[] IS NULL OR ${task} = ANY(${tasks}::text[]))`
}
