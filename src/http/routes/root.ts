/** GET /: a short page that names the routes. */
import type { RouterMiddleware } from '@koa/router'

const routes = [
  ['POST /run-tasks', 'runs tasks and answers with the first result'],
  ['GET /runs', 'lists the runs, newest first'],
  ['GET /runs/{id}', 'shows a run and its jobs'],
  ['GET /runs/{id}/jobs/{index}', 'shows one job'],
  ['POST /runs/{id}/cancel', 'cancels a run'],
  ['POST /runs/{id}/jobs/{index}/cancel', 'cancels one job'],
  ['GET /tasks', 'lists the tasks and what they take'],
  ['GET /stats', 'counts runs, jobs and threads'],
  ['GET /livez', 'says whether the process lives'],
  ['GET /readyz', 'says whether it takes new runs'],
  ['GET /problems/{slug}', 'explains a problem'],
] as const

const rows = routes.map(([route, meaning]) => `<dt><code>${route}</code></dt><dd>${meaning}</dd>`).join('')

const page = `<!doctype html>
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
<pre>curl -X POST http://localhost:3000/run-tasks</pre>
<dl>${rows}</dl>
</html>
`

export const root: RouterMiddleware = (ctx) => {
  ctx.type = 'html'
  ctx.set('Content-Security-Policy', "default-src 'none'; style-src 'unsafe-inline'")
  ctx.body = page
}
