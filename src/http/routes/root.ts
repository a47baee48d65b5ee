/** GET /: the live page for browsers, and the list of routes for programs. */
import type { RouterMiddleware } from '@koa/router'
import { routeTable } from '../openapi/route-table.ts'
import { sendPage } from '../page/page.ts'

function listOf(prefix: string): string {
  const rows = routeTable.map(({ method, path, summary }) => [`${method} ${prefix}${path}`, summary] as const)
  const width = Math.max(...rows.map(([route]) => route.length)) + 2
  return `Forerunner answers a request with the result of its first task, and runs the rest in worker threads, durably.

curl -X POST http://localhost:3000${prefix}/run-tasks

${rows.map(([route, summary]) => route.padEnd(width) + summary).join('\n')}
`
}

/** @param hasPage false in a process that answers for no runs: the page would have nothing to show */
export function createRootRoute(prefix: string, hasPage: boolean): RouterMiddleware {
  const list = listOf(prefix)

  return (ctx) => {
    if (hasPage && sendPage(ctx)) return
    ctx.vary('Accept')
    ctx.type = 'text/plain; charset=utf-8'
    ctx.body = list
  }
}
