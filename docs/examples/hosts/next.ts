/**
 * A route handler as Next.js has them (`app/orders/route.ts`), for a function that ends with its response. The work goes to a
 * service that lives on: `FORERUNNER_URL`, and `FORERUNNER_API_KEY` where it is not on the same machine.
 */
import { createClient, ProblemError } from 'forerunner/client'
import type confirm from './tasks/confirm.ts'

const client = createClient<{ confirm: typeof confirm }>({
  baseUrl: process.env['FORERUNNER_URL'] ?? 'http://127.0.0.1:3000',
  ...(process.env['FORERUNNER_API_KEY'] && { apiKey: process.env['FORERUNNER_API_KEY'] }),
})

export async function POST(request: Request): Promise<Response> {
  const { order } = (await request.json()) as { order: string }
  try {
    // The key makes one run of a form that is sent twice.
    const { id } = await client.enqueue(
      { tasks: [{ name: 'confirm', input: { order } }], tags: [`order:${order}`] },
      { idempotencyKey: `order:${order}` },
    )
    return Response.json({ run: id }, { status: 202 })
  } catch (error) {
    if (error instanceof ProblemError) return Response.json({ error: error.code }, { status: 503 })
    throw error
  }
}
