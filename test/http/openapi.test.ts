/** The OpenAPI document: valid, complete, true to the routes that there are, and served as it is. */
import { readFileSync } from 'node:fs'
import { Validator } from '@seriousme/openapi-schema-validator'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { problemCodes } from '../../src/domain/problems.ts'
import { createDocument } from '../../src/http/openapi/document.ts'
import { runRequestExample } from '../../src/http/openapi/examples.ts'
import { routeTable } from '../../src/http/router.ts'
import { problemsOf } from '../../src/http/route.ts'
import { watchRun } from '../../src/http/routes/get-run.ts'
import { shareService } from '../harness/service.ts'
import { sharedContract } from './contract.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const table = routeTable.map(({ method, path }) => `${method} ${path}`)

test('is a valid OpenAPI document of the version of the package', async () => {
  const document = createDocument(routeTable)
  const validator = new Validator()
  const { valid, errors } = await validator.validate({ ...structuredClone(document) })
  assert.ok(valid, JSON.stringify(errors))
  assert.is(validator.version, '3.1')
  const { version } = JSON.parse(read('package.json')) as { version: string }
  assert.is((document['info'] as { version: string }).version, version)
})

test('gives each path exactly the methods that the service has there', async () => {
  await using service = await shareService()
  for (const path of new Set(routeTable.map((route) => route.path))) {
    const methods = table.flatMap((route) => (route.endsWith(` ${path}`) ? [route.split(' ')[0] ?? ''] : []))
    const response = await service.fetch(path.replaceAll(/\{\w+\}/g, 'x'), { method: 'OPTIONS' })
    const allowed = (response.headers.get('Allow') ?? '')
      .split(', ')
      .filter((name) => !['HEAD', 'OPTIONS'].includes(name))
    assert.equal(allowed.toSorted(), methods.toSorted(), path)
  }
})

test('has an example with each body, and each is true', () => {
  const { issuesOf } = sharedContract()
  assert.is(issuesOf(runRequestExample, ['components', 'schemas', 'RunRequest']), null)
  for (const { method, path, responses } of routeTable) {
    for (const { status, json, example } of responses) {
      if (json === undefined) continue
      const at = [
        'paths',
        path,
        method.toLowerCase(),
        'responses',
        String(status),
        'content',
        'application/json',
        'schema',
      ]
      assert.is(issuesOf(example, at), null, `${method} ${path} ${status}`)
    }
  }
  const [first] = String(watchRun.responses[0]?.example).split('\n\n')
  const data: unknown = JSON.parse(first?.replace(/^[\s\S]*^data: /m, '') ?? '')
  assert.is(issuesOf(data, ['components', 'schemas', 'Run']), null)
})

test('demands nothing of a request that can be left out', () => {
  const { schemas = {} } = createDocument(routeTable)['components'] as Record<
    string,
    Record<string, Record<string, unknown>>
  >
  const request = schemas['RunRequest'] ?? {}
  assert.not('required' in request)
  // Of a member with a default, generators make one that is required.
  assert.not.match(JSON.stringify(createDocument(routeTable)), /"default":/)
  const { respond } = request['properties'] as Record<string, Record<string, unknown>>
  assert.is(respond?.['description'], 'Default: `"first"`.')
})

test('has every problem, with the page that is its type and a true example', () => {
  const { issuesOf } = sharedContract()
  const { schemas, examples } = createDocument(routeTable)['components'] as Record<
    string,
    Record<string, Record<string, unknown>>
  >
  for (const code of problemCodes) {
    const { value } = examples?.[code] ?? {}
    const names = Object.keys(schemas ?? {}).filter((name) =>
      JSON.stringify(schemas?.[name]).includes(`"/problems/${code}"`),
    )
    const own = names.filter((name) => name.endsWith('Problem'))
    assert.is(own.length, 1, code)
    for (const name of [...own, 'Problem']) assert.is(issuesOf(value, ['components', 'schemas', name]), null, code)
  }
  const answered = new Set(routeTable.flatMap(problemsOf))
  // That is what a path says for which no method is documented.
  assert.equal(
    problemCodes.filter((code) => !answered.has(code)),
    ['method-not-allowed'],
  )
})

test('has a stable tag, and is a 304 for clients that have it', async () => {
  await using service = await shareService()
  const response = await service.get('/openapi.json')
  assert.is(response.status, 200)
  assert.is(response.headers.get('Content-Type'), 'application/json; charset=utf-8')
  assert.equal(await response.json(), JSON.parse(JSON.stringify(createDocument(routeTable))))
  const etag = response.headers.get('ETag') ?? ''
  assert.match(etag, /^"[\w-]{22}"$/)
  const known = await service.get('/openapi.json', { 'If-None-Match': `"x", W/${etag}` })
  assert.is(known.status, 304)
  assert.is(known.headers.get('ETag'), etag)
  assert.is(await known.text(), '')
  assert.is((await service.get('/openapi.json', { 'If-None-Match': '"x"' })).status, 200)
})

test.run()
