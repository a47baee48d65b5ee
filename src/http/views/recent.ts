/** The JSON form of the last minutes of a process. */
import { z } from 'zod'

const count = z.int().min(0)
const ms = z.number().min(0)
const instant = z.iso.datetime()

export const quantilesSchema = z
  .object({ count, p50: ms.nullable(), p99: ms.nullable() })
  .readonly()
  .describe('Milliseconds, right to 5 %; null where nothing was measured')

export const recentSchema = z
  .object({
    windowMs: count.describe('what the quantiles and the tasks are of'),
    firstResponseMs: quantilesSchema.describe('from the request to the decided answer'),
    queueWaitMs: quantilesSchema.describe('how long jobs of the pool were due before they were claimed'),
    running: z
      .array(
        z
          .object({
            thread: z.string(),
            runId: z.string(),
            jobIndex: count,
            task: z.string(),
            attempt: count,
            startedAt: instant,
          })
          .readonly(),
      )
      .readonly()
      .describe('attempts under way, the longest first, up to 200'),
    tasks: z
      .array(
        z
          .object({
            name: z.string(),
            completed: count.describe('attempts'),
            failed: count.describe('attempts that were the last of their job'),
            retried: count.describe('attempts that failed and are followed by another'),
            waitMs: quantilesSchema,
            runMs: quantilesSchema,
          })
          .readonly(),
      )
      .readonly()
      .describe('tasks of which an attempt has ended since the start'),
    slotMs: count,
    slots: z
      .array(
        z
          .object({
            at: instant.describe('its end'),
            accepted: count.describe('jobs, by all processes'),
            final: count.describe('jobs, by all processes'),
            backlog: count.describe('at its end'),
            firstResponseMs: quantilesSchema,
            queueWaitMs: quantilesSchema,
            eventLoopDelayMs: ms.describe('p99'),
            cpuShare: ms.describe('which part of all cores the process used, from 0 to 1'),
          })
          .readonly(),
      )
      .readonly()
      .describe('the oldest first, a quarter of an hour at most'),
  })
  .readonly()
  .describe('The last minutes of the process that answers')

export type RecentView = z.output<typeof recentSchema>
