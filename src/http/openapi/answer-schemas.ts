/** The JSON bodies of answers, under the names that they have in the OpenAPI document. */
import { causeSchema, jobErrorSchema, jobFailureSchema, jobViewSchema } from '../schemas/job.ts'
import { problemSchema } from '../schemas/problem.ts'
import { bulkChangeSchema, minimalRunSchema, progressSchema, runPageSchema, runViewSchema } from '../schemas/run.ts'
import { quantilesSchema, recentSchema } from '../schemas/recent.ts'
import {
  healthSchema,
  problemPageSchema,
  statsSchema,
  taskListSchema,
  taskSchema,
  threadSchema,
} from '../schemas/service.ts'

export const answerSchemas = {
  Run: runViewSchema,
  MinimalRun: minimalRunSchema,
  RunPage: runPageSchema,
  BulkChange: bulkChangeSchema,
  Job: jobViewSchema,
  JobFailure: jobFailureSchema,
  JobError: jobErrorSchema,
  Cause: causeSchema,
  Progress: progressSchema,
  TaskList: taskListSchema,
  Task: taskSchema,
  Stats: statsSchema,
  Thread: threadSchema,
  Recent: recentSchema,
  Quantiles: quantilesSchema,
  Health: healthSchema,
  Problem: problemSchema,
  ProblemPage: problemPageSchema,
} as const

export type AnswerSchemaName = keyof typeof answerSchemas
