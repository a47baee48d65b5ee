/** What the service says of its interface: GET /openapi.json, and GET /problems/{slug}, where a problem's `type` leads. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import { problemCodes, problems, type ProblemCode } from '../../domain/problems.ts'
import { createDocument } from '../openapi/document.ts'
import { isKnown, tagOfText } from '../request-headers.ts'
import type { Route } from '../route.ts'
import { sendJson, sendText } from '../views/json.ts'

export const openapi: Route = {
  method: 'GET',
  path: '/openapi.json',
  operationId: 'openapi',
  summary: 'describes all this to programs (OpenAPI 3.1)',
  area: 'service',
  headers: ['If-None-Match'],
  responses: [
    { status: 200, description: 'This document.', mediaType: 'application/json', headers: ['ETag', 'Cache-Control'] },
    { status: 304, description: 'It has not changed.', headers: ['ETag', 'Cache-Control'] },
  ],
  problems: [],

  create({ routes, prefix }) {
    // The same for as long as the service runs, made when it is first asked for.
    let text: string | undefined
    let tag = ''

    return (ctx) => {
      if (text === undefined) {
        text = JSON.stringify(createDocument(routes, prefix))
        tag = tagOfText(text)
      }
      ctx.status = 200
      ctx.set({ ETag: tag, 'Cache-Control': 'no-cache' })
      if (isKnown(ctx.get('If-None-Match'), tag)) ctx.status = 304
      else sendText(ctx, text)
    }
  },
}

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
  responses: [
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
