/** GET /: a short page that names the routes. */
import type { RouterMiddleware } from '@koa/router'
import { routeTable } from '../openapi/route-table.ts'

const rowsOf = (prefix: string): string =>
  routeTable
    .map(({ method, path, summary }) => `<dt><code>${method} ${prefix}${path}</code></dt><dd>${summary}</dd>`)
    .join('')

const pageOf = (prefix: string): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Forerunner</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { max-width: 42rem; margin: 3rem auto; padding: 0 1rem }
  code, pre { font: 14px/1.5 ui-monospace, monospace }
  dd { margin: 0 0 .75rem 0; opacity: .8 }
</style>
<h1>Forerunner</h1>
<p>Answers a request with the result of its first task, and runs the rest in worker threads, durably.</p>
<pre>curl -X POST http://localhost:3000${prefix}/run-tasks</pre>
<dl>${rowsOf(prefix)}</dl>
</html>
`

// The last three do not follow default-src.
const contentPolicy =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

export function createRootRoute(prefix: string): RouterMiddleware {
  const page = pageOf(prefix)

  return (ctx) => {
    ctx.type = 'html'
    ctx.set('Content-Security-Policy', contentPolicy)
    ctx.body = page
  }
}
