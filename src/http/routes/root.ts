/** GET /: the live page for browsers, and the list of routes for programs. */
import { sendPage } from '../page/page.ts'
import type { HttpDeps, Route } from '../route.ts'

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
      description: 'The page, for clients that name text/html in Accept; for others the list of routes.',
      mediaType: ['text/plain', 'text/html'],
      headers: ['Vary'],
      mayHave: ['ETag', 'Cache-Control'],
    },
    { status: 304, description: 'The page has not changed.', headers: ['Vary', 'ETag', 'Cache-Control'] },
  ],
  problems: [],

  create(deps) {
    const list = listOf(deps)
    // In a process that answers for no runs the page would have nothing to show.
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

/** @returns the list for the origin that the request names */
function listOf({ routes, prefix }: HttpDeps): (origin: string) => string {
  const rows = routes.map(({ method, path, summary }) => [`${method} ${prefix}${path}`, summary] as const)
  const width = Math.max(...rows.map(([route]) => route.length)) + 2
  const list = rows.map(([route, summary]) => route.padEnd(width) + summary).join('\n')
  return (
    origin,
  ) => `Forerunner answers a request with the result of its first task, and runs the rest in worker threads, durably.

curl -X POST ${origin}${prefix}/run-tasks

${list}
`
}
