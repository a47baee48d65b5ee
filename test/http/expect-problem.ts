import * as assert from 'uvu/assert'
import { type ProblemCode, problems } from '../../src/domain/problems.ts'
import type { ProblemDocument } from '../../src/http/problem.ts'
import { readProblem } from '../harness/run.ts'

/** Fails unless the answer is this problem in the form of RFC 9457; `status` only where it is not the table's. */
export async function expectProblem(
  response: Response,
  code: ProblemCode,
  status: number = problems[code].status,
): Promise<ProblemDocument> {
  const problem = await readProblem(response)
  assert.is(problem.type, `/problems/${code}`, `expected ${code}, got ${JSON.stringify(problem)}`)
  assert.is(response.status, status)
  assert.is(response.headers.get('Content-Type'), 'application/problem+json')
  assert.is(response.headers.get('Cache-Control'), 'no-store')
  assert.is(problem.status, status)
  assert.is(problem.title, problems[code].title)
  assert.type(problem.detail, 'string')
  assert.ok(problem.detail.length > 0)
  assert.ok(problem.instance.startsWith('/'))
  const isTemporary = status === 503 || code === 'idempotency-in-progress' || code === 'too-many-streams'
  assert.is(response.headers.has('Retry-After'), isTemporary, 'Retry-After belongs to what passes')
  return problem
}

/** The pointers of a 422, in their order. */
export function pointersOf(problem: ProblemDocument): string[] {
  return (problem.errors ?? []).map(({ pointer }) => pointer)
}
