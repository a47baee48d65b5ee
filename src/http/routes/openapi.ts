/** GET /openapi.json: the same text for as long as the service runs, made when it is first asked for. */
import { createHash } from 'node:crypto'
import type { RouterMiddleware } from '@koa/router'
import { createDocument } from '../openapi/document.ts'
import type { Route } from '../openapi/route.ts'

/** @param routes that this process answers, at addresses with this prefix */
export function createOpenapiRoute(routes: readonly Route[], prefix: string): RouterMiddleware {
  let made: { readonly text: string; readonly etag: string } | undefined

  return (ctx) => {
    made ??= make(routes, prefix)
    ctx.status = 200
    ctx.set({ ETag: made.etag, 'Cache-Control': 'no-cache' })
    const known = ctx.get('If-None-Match')
    // With its quotes it can be found in a list of tags as it is, weak or not.
    if (known === '*' || known.includes(made.etag)) {
      ctx.status = 304
      return
    }
    ctx.body = made.text
    ctx.type = 'json'
  }
}

function make(routes: readonly Route[], prefix: string): { readonly text: string; readonly etag: string } {
  const text = JSON.stringify(createDocument(routes, prefix))
  return { text, etag: `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"` }
}
