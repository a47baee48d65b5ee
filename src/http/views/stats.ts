/** Tasks, and the figures of tasks and of the service, as JSON. */
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
    concurrency: z.int().min(1).nullable().describe('how many of its jobs may run at once; null: no limit'),
    isolation: z.enum(isolations).describe('`process`: its jobs run in a child process'),
    rate: z
      .object({
        limit: z.int().min(rateBounds.limit.min).max(rateBounds.limit.max),
        perMs: z.int().min(rateBounds.perMs.min).max(rateBounds.perMs.max),
      })
      .readonly()
      .nullable()
      .describe('how many of its jobs may start in any window of `perMs`; null: no limit'),
    paused: z.boolean().describe('while a task is paused, none of its jobs start'),
    input: z
      .record(z.string(), z.unknown())
      .readonly()
      .nullable()
      .describe(
        'JSON Schema of the input, in which a description states what JSON Schema cannot; null if the task accepts any input',
      ),
  })
  .readonly()
  .describe('A task with its policy')

export const taskListSchema = z.object({ tasks: z.array(taskSchema).readonly() }).readonly()

export type TaskView = z.output<typeof taskSchema>
export type TaskListView = z.output<typeof taskListSchema>

const count = z.int().min(0)
const ms = z.number().min(0)
const share = z.number().min(0)

const listOf = <Shape extends z.ZodRawShape>(shape: Shape) => z.array(z.object(shape).readonly()).readonly()

export const threadSchema = z
  .object({
    name: z.string().describe('`worker-N`, or `process-N` for a child process of that thread'),
    kind: z.enum(taskKinds),
    state: z.enum(['starting', 'ready', 'retiring', 'failing', 'dying']),
    running: count.describe('jobs that run on the thread'),
    busyShare: share.describe('share of its time that jobs took, from 0 to 1'),
  })
  .readonly()

export const statsSchema = z
  .object({
    environment: z.string().nullable().describe('`ENVIRONMENT` of the process that responds; null if it is not set'),
    runs: z.record(z.enum(runStates), count).readonly(),
    jobs: z.record(z.enum(jobStates), count).readonly(),
    backlog: count.describe('jobs that are not final'),
    oldestQueuedMs: ms.nullable().describe('how long the longest-waiting due job has been due; null if none waits'),
    unknownTasks: z
      .record(z.string(), count)
      .readonly()
      .describe('by task: waiting jobs whose task no process has; they wait for a version that has it'),
    lostClaims: count.describe(
      'claims of the process that responds which ended, or were stopped, without a cancel or an outcome: 0 except after an outage',
    ),
    threads: z.array(threadSchema).readonly(),
    eventLoopDelayMs: z.object({ p50: ms, p99: ms, max: ms }).readonly(),
    conservation: z
      .object({ accepted: count, final: count, live: count, lost: z.int() })
      .readonly()
      .describe('jobs that were ever accepted, are final, and are not; `lost` is the difference, and always 0'),
  })
  .readonly()
  .describe('Counts of runs, jobs and threads')

export type StatsView = z.output<typeof statsSchema>

export const quantilesSchema = z
  .object({ count, p50: ms.nullable(), p99: ms.nullable() })
  .readonly()
  .describe('Milliseconds, accurate to 5 %; null if nothing was measured')

const waitMs = quantilesSchema.describe('how long jobs of the pool were due before they were claimed')

export const taskStatsSchema = z
  .object({
    task: z.string(),
    stepMs: count,
    steps: listOf({
      at: instantSchema,
      started: count.describe('attempts'),
      completed: count.describe('jobs'),
      failed: count.describe('jobs that failed for good'),
      retried: count.describe('attempts that did not succeed and are followed by another'),
      waitMs,
      runMs: quantilesSchema.describe('how long attempts took'),
    }),
    starts: z.array(instantSchema).readonly().describe('when the service, or one of its processes, was started'),
  })
  .readonly()
  .describe('What a task did, step by step')

export type TaskStatsView = z.output<typeof taskStatsSchema>

export const recentSchema = z
  .object({
    windowMs: count.describe('the time that quantiles and tasks cover'),
    firstResponseMs: quantilesSchema.describe('from the request to the decided answer'),
    queueWaitMs: waitMs,
    running: listOf({
      thread: z.string(),
      runId: z.string(),
      jobIndex: count,
      task: z.string(),
      attempt: count,
      startedAt: instantSchema,
    }).describe('current attempts, the longest first, at most 200'),
    tasks: listOf({
      name: z.string(),
      completed: count.describe('attempts'),
      failed: count.describe('attempts that were the last of their job'),
      retried: count.describe('attempts that failed and are followed by another'),
      waitMs: quantilesSchema,
      runMs: quantilesSchema,
    }).describe('tasks with an attempt that has ended since the start'),
    slotMs: count,
    slots: listOf({
      at: instantSchema.describe('the end of the slot'),
      accepted: count.describe('jobs, in all processes'),
      final: count.describe('jobs, in all processes'),
      backlog: count.describe('at the end of the slot'),
      firstResponseMs: quantilesSchema,
      queueWaitMs: quantilesSchema,
      eventLoopDelayMs: ms.describe('p99'),
      cpuShare: share.describe('share of all cores that the process used, from 0 to 1'),
    }).describe('the oldest first, a quarter of an hour at most'),
    events: listOf({
      at: instantSchema,
      kind: z
        .enum(['started', 'recovered', 'thread-replaced'])
        .describe(
          'the process started; it took back jobs of a process that died; it replaced threads, within ten seconds',
        ),
      count: count.describe('jobs or threads; 1 for the start of the process'),
      cause: z.string().exactOptional().describe('why the threads were replaced'),
    }).describe('the oldest first, 50 at most'),
  })
  .readonly()
  .describe('The last minutes of the process that responds')

export type RecentView = z.output<typeof recentSchema>
