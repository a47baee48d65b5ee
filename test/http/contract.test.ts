/** What holds answers against the OpenAPI document is itself held against answers that break it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listRuns } from '../../src/http/routes/list-runs.ts'
import { problemExample, runExample } from '../../src/http/openapi/examples.ts'
import { rejects } from '../harness/rejects.ts'
import { sharedContract } from './contract.ts'

const origin = 'http://127.0.0.1'
const runPath = `/runs/${runExample.id}`
const json = { 'Content-Type': 'application/json; charset=utf-8' }
const runPageExample = { ...Object(listRuns.responses[0]?.example) } as object
const ofRun = { ...json, ETag: 'W/"3"', 'Cache-Control': 'no-cache' }
const ofProblem = { 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store' }

function answer(body: unknown, status: number, headers: Record<string, string>): Response {
  return new Response(body === null ? null : JSON.stringify(body), { status, headers })
}

const check = (method: string, path: string, response: Response) =>
  sharedContract().check(method, `${origin}${path}`, response)

async function breaks(method: string, path: string, response: Response, what: string): Promise<void> {
  const { message } = await rejects(check(method, path, response), 'Error')
  assert.ok(message.includes(what), message)
}

test('lets answers pass that are as documented, and leaves their bodies to be read', async () => {
  const response = answer(runExample, 200, ofRun)
  await check('GET', `${runPath}?a=b`, response)
  assert.equal(await response.json(), runExample)
  await check('HEAD', runPath, answer(null, 200, ofRun))
  await check('GET', runPath, answer(null, 304, { ETag: 'W/"3"', 'Cache-Control': 'no-cache' }))
  await check('GET', runPath, answer(problemExample('run-not-found'), 404, ofProblem))
  await check('GET', '/runs', answer(runPageExample, 200, { ...ofRun, ETag: '"a"' }))
  const failure = { ...problemExample('first-task-failed'), status: 418 }
  const ofFailure = { ...ofProblem, 'Content-Location': runPath, Link: `<${runPath}>; rel="monitor"` }
  await check('POST', '/run-tasks', answer(failure, 418, ofFailure))
})

test('skips paths that are no route of the document', async () => {
  await check('GET', '/nothing/of/ours', answer({ any: 'thing' }, 200, json))
  await check('OPTIONS', runPath, answer(null, 204, {}))
})

test('sees a status, a media type, a header or a body that is not documented', async () => {
  await breaks('GET', runPath, answer(runExample, 201, ofRun), 'status')
  await breaks('GET', '/runs', answer(problemExample('internal'), 418, ofProblem), 'status')
  await breaks('GET', runPath, answer(runExample, 200, { ...ofRun, 'Content-Type': 'text/plain' }), 'text/plain')
  await breaks('GET', runPath, answer(runExample, 200, { ...json, 'Cache-Control': 'no-cache' }), 'ETag')
  await breaks('GET', runPath, answer(runExample, 200, { ...ofRun, ETag: '3' }), 'ETag')
  await breaks('GET', runPath, answer({ ...runExample, more: 1 }, 200, ofRun), 'additional properties')
  await breaks('GET', runPath, answer({ ...runExample, state: 'done' }, 200, ofRun), 'state')
  await breaks('GET', runPath, answer({ ...runExample, createdAt: 'today' }, 200, ofRun), 'createdAt')
  const { version: _left, ...incomplete } = runExample
  await breaks('GET', runPath, answer(incomplete, 200, ofRun), 'version')
  const page = { ...runPageExample, runs: [incomplete] }
  await breaks('GET', '/runs', answer(page, 200, ofRun), 'version')
})

test('sees a problem that is not this route’s, has another status, or lacks its members', async () => {
  const foreign = answer(problemExample('job-not-found'), 404, ofProblem)
  await breaks('GET', runPath, foreign, '/problems/job-not-found')
  const shifted = answer({ ...problemExample('run-not-found'), status: 400 }, 404, ofProblem)
  await breaks('GET', runPath, shifted, 'status')
  const { errors: _left, ...mute } = problemExample('validation-error')
  await breaks('POST', '/run-tasks', answer(mute, 422, ofProblem), 'errors')
  await breaks('GET', '/stats', answer(problemExample('store-unavailable'), 503, ofProblem), 'Retry-After')
  await breaks('GET', runPath, answer(problemExample('run-not-found'), 404, { ...ofProblem, ...json }), 'media type')
})

test('wants a method that a path has not to be refused with the methods that it has', async () => {
  const refusal = problemExample('method-not-allowed')
  await check('PUT', runPath, answer(refusal, 405, { ...ofProblem, Allow: 'GET' }))
  await breaks('PUT', runPath, answer(refusal, 405, ofProblem), 'Allow')
  await breaks('PUT', runPath, answer({}, 405, { ...ofProblem, Allow: 'GET' }), 'type')
})

test.run()
