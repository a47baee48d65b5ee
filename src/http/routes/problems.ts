/** GET /problems/{slug}: the page that a problem's `type` leads to. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import { problemCodes, problems, type ProblemCode } from '../../domain/problems.ts'
import type { Route } from '../route.ts'
import { sendJson } from '../views/json.ts'

const problemPageSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int().min(400).max(599),
    isRetryable: z.boolean().describe('whether the same request can succeed later without a change'),
    meaning: z.string(),
    remedy: z.string(),
  })
  .readonly()
  .describe('What a problem means and what to do')

function pageOf(code: ProblemCode, prefix: string): z.output<typeof problemPageSchema> {
  const { status, title, isRetryable, meaning, remedy } = problems[code]
  return { type: `${prefix}/problems/${code}`, title, status, isRetryable, meaning, remedy }
}

export const explainProblem: Route = {
  method: 'GET',
  path: '/problems/{slug}',
  operationId: 'explainProblem',
  summary: 'explains a problem',
  area: 'service',
  isOpen: true,
  answers: [
    {
      status: 200,
      description: 'What the problem means and what to do.',
      json: { ProblemPage: problemPageSchema },
      example: pageOf('run-not-found', ''),
    },
  ],
  problems: ['not-found'],

  create({ prefix }) {
    return (ctx, { slug }) => {
      const code = problemCodes.find((known) => known === slug)
      if (code === undefined) throw new AppError('not-found', `there is no problem ${slug}`)
      sendJson(ctx, pageOf(code, prefix))
    }
  },
}
