/** The JSON form of tasks, and of the numbers of tasks and of the service. */
import { z } from 'zod'
import { jobStates } from '../../domain/job.ts'
import { isolations, mainPlacements, policyBounds, rateBounds, taskKinds } from '../../domain/task.ts'
import { runStates } from '../../domain/run.ts'
import { instantSchema } from './job.ts'

const { timeoutMs, maxAttempts, memoryMb } = policyBounds

export const taskSchema = z
  .object({
    name: z.string(),
    kind: z.enum(taskKinds),
    timeoutMs: z.int().min(timeoutMs.min).max(timeoutMs.max),
    maxAttempts: z.int().min(maxAttempts.min).max(maxAttempts.max),
    memoryMb: z.int().min(memoryMb.min).max(memoryMb.max),
    main: z.enum(mainPlacements),
    concurrency: z.int().min(1).nullable().describe('null: no limit'),
    isolation: z.enum(isolations).describe('`process`: it runs in a child process'),
    rate: z
      .object({
        limit: z.int().min(rateBounds.limit.min).max(rateBounds.limit.max),
        perMs: z.int().min(rateBounds.perMs.min).max(rateBounds.perMs.max),
      })
      .readonly()
      .nullable()
      .describe('how many of its jobs may start in any window of `perMs`; null: no limit'),
    paused: z.boolean().describe('whether no job of it starts until it is resumed'),
    input: z
      .record(z.string(), z.unknown())
      .readonly()
      .nullable()
      .describe(
        'JSON Schema, in which a description stands for what it cannot say; null where the task takes anything',
      ),
  })
  .readonly()
  .describe('A task that can be run, with its policy')

export const taskListSchema = z.object({ tasks: z.array(taskSchema).readonly() }).readonly()

export type TaskView = z.output<typeof taskSchema>
export type TaskListView = z.output<typeof taskListSchema>

const count = z.int().min(0)
const ms = z.number().min(0)

export const threadSchema = z
  .object({
    name: z.string().describe('`worker-N`, or `process-N` of a child process that runs beside that thread'),
    kind: z.enum(taskKinds),
    state: z.enum(['starting', 'ready', 'retiring', 'failing', 'dying']),
    running: count.describe('jobs on it'),
    busyShare: z.number().min(0).describe('which part of its time jobs took, from 0 to 1'),
  })
  .readonly()

export const statsSchema = z
  .object({
    environment: z.string().nullable().describe('`ENVIRONMENT` of the process that answers; null where it has none'),
    runs: z.record(z.enum(runStates), count).readonly(),
    jobs: z.record(z.enum(jobStates), count).readonly(),
    backlog: count.describe('jobs not yet final'),
    oldestQueuedMs: ms.nullable().describe('how long the longest-waiting due job has been due; null when none waits'),
    unknownTasks: z
      .record(z.string(), count)
      .readonly()
      .describe('waiting jobs of tasks that no process runs, by task: they wait for a version that has the task'),
    lostClaims: count.describe(
      'claims of the process that answers which ended, or were stopped, without a cancel or an outcome: always 0 but after an outage',
    ),
    threads: z.array(threadSchema).readonly(),
    eventLoopDelayMs: z.object({ p50: ms, p99: ms, max: ms }).readonly(),
    conservation: z
      .object({ accepted: count, final: count, live: count, lost: z.int() })
      .readonly()
      .describe('jobs ever accepted, settled, still to settle, and what is missing in between: always 0'),
  })
  .readonly()
  .describe('Counts of runs, jobs and threads')

export type StatsView = z.output<typeof statsSchema>

export const quantilesSchema = z
  .object({ count, p50: ms.nullable(), p99: ms.nullable() })
  .readonly()
  .describe('Milliseconds, right to 5 %; null where nothing was measured')

export const taskStatsSchema = z
  .object({
    task: z.string(),
    stepMs: count,
    steps: z
      .array(
        z
          .object({
            at: instantSchema,
            started: count.describe('attempts'),
            completed: count.describe('jobs'),
            failed: count.describe('jobs that failed for good'),
            retried: count.describe('attempts that did not succeed and are followed by another'),
            waitMs: quantilesSchema.describe('how long jobs of the pool were due before they were claimed'),
            runMs: quantilesSchema.describe('how long attempts took'),
          })
          .readonly(),
      )
      .readonly(),
    starts: z.array(instantSchema).readonly().describe('when the service, or a process of it, was started'),
  })
  .readonly()
  .describe('What a task did, step by step')

export type TaskStatsView = z.output<typeof taskStatsSchema>

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
            startedAt: instantSchema,
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
      .describe('tasks that have ended an attempt since the start'),
    slotMs: count,
    slots: z
      .array(
        z
          .object({
            at: instantSchema.describe('its end'),
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
    events: z
      .array(
        z
          .object({
            at: instantSchema,
            kind: z
              .enum(['started', 'recovered', 'thread-replaced'])
              .describe(
                'the process started; it took back jobs of one that died; threads were replaced, within ten seconds',
              ),
            count: count.describe('jobs or threads; 1 for the start of the process'),
            cause: z.string().exactOptional().describe('why the threads were replaced'),
          })
          .readonly(),
      )
      .readonly()
      .describe('the oldest first, 50 at most'),
  })
  .readonly()
  .describe('The last minutes of the process that answers')

export type RecentView = z.output<typeof recentSchema>
