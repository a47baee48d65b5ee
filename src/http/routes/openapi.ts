/** GET /openapi.json: the same text for as long as the service runs, made when it is first asked for. */
import { isKnown, tagOfText } from '../request-headers.ts'
import { createDocument } from '../openapi/document.ts'
import type { Route } from '../route.ts'
import { sendText } from '../views/json.ts'

export const openapi: Route = {
  method: 'GET',
  path: '/openapi.json',
  operationId: 'openapi',
  summary: 'describes all this to programs (OpenAPI 3.1)',
  area: 'service',
  headers: ['If-None-Match'],
  answers: [
    { status: 200, description: 'This document.', mediaType: 'application/json', headers: ['ETag', 'Cache-Control'] },
    { status: 304, description: 'It has not changed.', headers: ['ETag', 'Cache-Control'] },
  ],
  problems: [],

  create({ routes, prefix }) {
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
