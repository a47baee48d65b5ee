/** GET /metrics: the service's numbers for Prometheus. */
import type { Route } from '../route.ts'

export const metrics: Route = {
  method: 'GET',
  path: '/metrics',
  operationId: 'metrics',
  summary: 'tells the same and more to Prometheus',
  area: 'service',
  answers: [
    {
      status: 200,
      description: 'Metrics in the text format of Prometheus.',
      mediaType: 'text/plain',
      example: '# TYPE forerunner_backlog gauge\nforerunner_backlog 1\n',
      headers: ['Cache-Control'],
    },
  ],
  problems: ['store-unavailable'],

  create(deps) {
    return async (ctx) => {
      ctx.body = await deps.metrics.text()
      ctx.set({ 'Content-Type': deps.metrics.contentType, 'Cache-Control': 'no-store' })
    }
  },
}
