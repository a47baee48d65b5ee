/** The JSON form of a run, whole, short and in pages. */
import { z } from 'zod'
import { respondModes } from '../../domain/answer.ts'
import { runStates } from '../../domain/run.ts'
import { instantSchema, jobViewSchema } from './job.ts'

const result = z
  .unknown()
  .exactOptional()
  .describe('absent until the answer is decided, and where the deciding job failed')
const results = z
  .array(z.unknown())
  .readonly()
  .exactOptional()
  .describe('with `respond: all`, one per job in their order')

export const runIdSchema = z.uuidv7()

export const runViewSchema = z
  .object({
    id: runIdSchema,
    state: z.enum(runStates),
    version: z.int().min(1).describe('grows with every committed change of state, and never with progress'),
    result,
    resultBytes: z.int().min(0).exactOptional().describe('in events, in place of a large result'),
    results,
    answer: z
      .object({
        mode: z.enum(respondModes),
        jobIndex: z.int().min(0).nullable().describe('the deciding job; null where all of them decided together'),
      })
      .readonly()
      .nullable()
      .describe('null until it is decided'),
    createdAt: instantSchema,
    respondedAt: instantSchema.nullable().describe('the commit of the answer'),
    finishedAt: instantSchema.nullable(),
    tags: z.array(z.string()).readonly(),
    jobs: z.array(jobViewSchema).readonly(),
    links: z.object({ self: z.string(), events: z.string(), cancel: z.string() }).readonly(),
  })
  .readonly()
  .describe('One accepted request, its jobs and its answer')

export const minimalRunSchema = z
  .object({ id: runIdSchema, state: z.enum(runStates), result, results })
  .readonly()
  .describe('A run with `Prefer: return=minimal`')

export const runPageSchema = z
  .object({
    runs: z.array(runViewSchema).readonly(),
    nextPageToken: z.string().nullable().describe('null on the last page'),
    pageSize: z
      .int()
      .min(1)
      .describe('the largest number of runs in this page: as asked for, or 500 where that was more'),
  })
  .readonly()
  .describe('Runs, newest first, without results, failures and details of errors')

export const bulkChangeSchema = z
  .object({
    matched: z.int().min(0).describe('runs that the filter matches'),
    changed: z.int().min(0).describe('those of them that were changed; 0 with `dryRun`'),
  })
  .readonly()
  .describe('What a change of many runs has done')

export type BulkChangeView = z.output<typeof bulkChangeSchema>
export type MinimalRunView = z.output<typeof minimalRunSchema>
export type RunPageView = z.output<typeof runPageSchema>

/** The `data` of an event `progress`; that of an event `run` is a run. */
export const progressSchema = z
  .object({
    jobIndex: z.int().min(0),
    progress: z.number().min(0).max(1),
    message: z.string().exactOptional(),
  })
  .readonly()
  .describe('How far a running job is')

export type ProgressView = z.output<typeof progressSchema>
