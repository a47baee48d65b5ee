/** The JSON form of what tasks have logged. */
import { z } from 'zod'
import type { LoggedLine, StoredChunk } from '../../domain/task-history.ts'
import { instantSchema, jobIndexSchema } from './job.ts'

export const lineSchema = z
  .object({
    id: z.int().min(1).describe('grows from line to line'),
    at: instantSchema,
    level: z.enum(['debug', 'info', 'warn', 'error']),
    jobIndex: jobIndexSchema,
    attempt: z.int().min(1),
    message: z.string(),
    fields: z.unknown().optional().describe('what was given beside the message'),
    error: z.unknown().optional().describe('the error that was given, in the form of a job’s'),
  })
  .readonly()
  .describe('A line that a task has logged')

export const linePageSchema = z
  .object({ lines: z.array(lineSchema).readonly(), hasMore: z.boolean().describe('whether more lines follow') })
  .readonly()
  .describe('Lines of one run, the oldest first')

export type LineView = z.output<typeof lineSchema>
export type LinePageView = z.output<typeof linePageSchema>

/** More than the lines of any chunk. */
const idsPerChunk = 1_024

/** Of the chunk with the line, whose id this is. */
export function chunkIdOf(lineId: number): number {
  return Math.floor(lineId / idsPerChunk)
}

export function viewLines(chunks: readonly StoredChunk[]): LineView[] {
  return chunks.flatMap(({ id, text }) =>
    // They are written by the service alone.
    (JSON.parse(text) as LoggedLine[]).map((line, index) => ({
      id: id * idsPerChunk + index,
      ...line,
      at: new Date(line.at).toISOString(),
    })),
  )
}
