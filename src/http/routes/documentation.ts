/** Documentation of the interface: the OpenAPI document, a page for each problem, and the list of routes at `/`. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import { type ProblemCode, problemCodes, problems } from '../../domain/problems.ts'
import { createDocument } from '../openapi/document.ts'
import { isNotModified, tagOfText } from '../request-head.ts'
import type { RouteDependencies, Route } from '../route.ts'
import { sendSmall, sendSmallText } from '../responder.ts'
import { sendPage } from '../page.ts'

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

  create({ documentedRoutes, prefix }) {
    // Made at the first request. It does not change while the process runs.
    let text: string | undefined
    let tag = ''

    return (ctx) => {
      if (text === undefined) {
        text = JSON.stringify(createDocument(documentedRoutes, prefix))
        tag = tagOfText(text)
      }
      ctx.status = 200
      ctx.set({ ETag: tag, 'Cache-Control': 'no-cache' })
      if (isNotModified(ctx.get('If-None-Match'), tag)) ctx.status = 304
      else sendSmallText(ctx, text)
    }
  },
}

const problemPageSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int().min(400).max(599),
    isRetryable: z.boolean().describe('whether the same request may succeed later'),
    meaning: z.string(),
    remedy: z.string(),
  })
  .readonly()
  .describe('What a problem means, and what to do')

function pageOf(code: ProblemCode, prefix: string): z.output<typeof problemPageSchema> {
  const { status, title, isRetryable = false, meaning, remedy } = problems[code]
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
      description: 'What the problem means, and what to do.',
      json: { ProblemPage: problemPageSchema },
      example: pageOf('run-not-found', ''),
    },
  ],
  problems: ['not-found'],

  create({ prefix }) {
    return (ctx, { slug }) => {
      const code = problemCodes.find((known) => known === slug)
      if (code === undefined) throw new AppError('not-found', `there is no problem ${slug}`)
      sendSmall(ctx, pageOf(code, prefix))
    }
  },
}

export const root: Route = {
  method: 'GET',
  path: '/',
  operationId: 'root',
  summary: 'shows the live page to browsers, and this list to programs',
  area: 'service',
  isOpen: true,
  headers: ['If-None-Match'],
  responses: [
    {
      status: 200,
      description: 'The page for clients that name text/html in Accept, and the list of routes for others.',
      mediaType: ['text/plain', 'text/html'],
      headers: ['Vary'],
      mayHave: ['ETag', 'Cache-Control'],
    },
    { status: 304, description: 'The page has not changed.', headers: ['Vary', 'ETag', 'Cache-Control'] },
  ],
  problems: [],

  create(deps) {
    const list = listOf(deps)
    // A process that only runs jobs serves no runs, so its page would be empty.
    const hasPage = deps.config.role !== 'worker'

    return (ctx) => {
      if (hasPage && sendPage(ctx)) return
      ctx.vary('Accept')
      ctx.type = 'text/plain; charset=utf-8'
      // HTTP/1.0 needs no Host.
      ctx.body = list(ctx.host === '' ? 'http://localhost:3000' : `${ctx.protocol}://${ctx.host}`)
    }
  },
}

/** @returns a function that makes the list for the origin of a request */
function listOf({ documentedRoutes, prefix }: RouteDependencies): (origin: string) => string {
  const rows = documentedRoutes.map(({ method, path, summary }) => [`${method} ${prefix}${path}`, summary] as const)
  const width = Math.max(...rows.map(([route]) => route.length)) + 2
  const list = rows.map(([route, summary]) => route.padEnd(width) + summary).join('\n')
  return (
    origin,
  ) => `Forerunner answers a request with the result of its first task, and runs the rest in worker threads, durably.

curl -X POST ${origin}${prefix}/run-tasks

${list}
`
}
