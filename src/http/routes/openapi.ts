/** GET /openapi.json: the same text for as long as the service runs, made when it is first asked for. */
import type { RouterMiddleware } from '@koa/router'
import { isKnown, tagOfText } from '../entity-tag.ts'
import { createDocument } from '../openapi/document.ts'
import type { Route } from '../openapi/route.ts'

/** @param routes that this process answers, at addresses with this prefix */
export function createOpenapiRoute(routes: readonly Route[], prefix: string): RouterMiddleware {
  let made: { readonly text: string; readonly etag: string } | undefined

  return (ctx) => {
    made ??= make(routes, prefix)
    ctx.status = 200
    ctx.set({ ETag: made.etag, 'Cache-Control': 'no-cache' })
    if (isKnown(ctx.get('If-None-Match'), made.etag)) {
      ctx.status = 304
      return
    }
    ctx.body = made.text
    ctx.type = 'json'
  }
}

function make(routes: readonly Route[], prefix: string): { readonly text: string; readonly etag: string } {
  const text = JSON.stringify(createDocument(routes, prefix))
  return { text, etag: tagOfText(text) }
}
