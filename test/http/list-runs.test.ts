/** GET /runs: newest first, filtered, by words, and page by page without gaps or repetitions. */
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AppError } from '../../src/domain/errors.ts'
import { newRunId } from '../../src/domain/ids.ts'
import { pageTokenOf, parsePageToken } from '../../src/http/routes/list-runs.ts'
import type { RunView } from '../../src/http/views/run.ts'
import { anyText } from '../harness/any-text.ts'
import { readRun } from '../harness/run.ts'
import { type Service, shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

interface Page {
  readonly runs: readonly RunView[]
  readonly nextPageToken: string | null
  readonly pageSize: number
}

const waiting = { name: 'wait', input: { ms: 60_000 } }

async function submit(service: Service, task: object, tags: string[] = []): Promise<RunView> {
  return readRun(await service.post('/run-tasks', { respond: 'none', tasks: [task], tags }))
}

async function submitMany(service: Service, count: number): Promise<string[]> {
  const ids: string[] = []
  for (let index = 0; index < count; index += 1) ids.push((await submit(service, { ...waiting, delayMs: 60_000 })).id)
  return ids
}

async function list(service: Service, query: Record<string, string> = {}): Promise<Page> {
  const response = await service.get(`/runs?${new URLSearchParams(query).toString()}`)
  assert.is(response.status, 200)
  return (await response.json()) as Page
}

const idsOf = ({ runs }: Page) => runs.map(({ id }) => id)

async function ended(service: Service, id: string): Promise<RunView> {
  return until('the run has ended', async () => {
    const run = await readRun(await service.get(`/runs/${id}`))
    return run.state !== 'running' && run
  })
}

test('is empty in the beginning', async () => {
  await using service = await shareService()
  assert.equal(await list(service), { runs: [], nextPageToken: null, pageSize: 50 })
})

test('lists runs newest first, without results', async () => {
  await using service = await shareService()
  const first = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo', input: 'secret' }] }))
  const second = await readRun(await service.post('/run-tasks', { respond: 'all', tasks: [{ name: 'echo' }] }))
  const page = await list(service)
  assert.equal(idsOf(page), [second.id, first.id])
  const { result: _result, jobs, ...members } = first
  const bare = jobs.map(({ result: _left, failures: _failures, steps: _steps, ...job }) => job)
  assert.equal(page.runs[1], { ...members, jobs: bare })
  assert.not('results' in (page.runs[0] ?? {}))
  assert.not(JSON.stringify(page).includes('secret'))
})

test('goes through all runs page by page', async () => {
  await using service = await shareService()
  const ids = (await submitMany(service, 5)).toReversed()
  const seen: string[][] = []
  let token: string | null = null
  do {
    const page = await list(service, { pageSize: '2', ...(token !== null && { pageToken: token }) })
    seen.push(idsOf(page))
    token = page.nextPageToken
  } while (token !== null)
  assert.equal(seen, [ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)])
})

test('has no next page when the last one is full', async () => {
  await using service = await shareService()
  await submitMany(service, 2)
  const response = await service.get('/runs?pageSize=2')
  assert.not(response.headers.has('Link'))
  assert.is(((await response.json()) as Page).nextPageToken, null)
})

test('links to the next page with the filter of this one', async () => {
  await using service = await shareService()
  const ids: string[] = []
  for (const tag of ['ü&=', 'other', 'ü&=', 'ü&=']) ids.push((await submit(service, waiting, [tag])).id)
  const response = await service.get(`/runs?pageSize=1&tag=${encodeURIComponent('ü&=')}`)
  const link = /^<(?<target>\/runs\?[^>]+)>; rel="next"$/.exec(response.headers.get('Link') ?? '')
  const next = (await (await service.get(link?.groups?.['target'] ?? '')).json()) as Page
  assert.equal(idsOf((await response.json()) as Page), [ids[3]])
  assert.equal(idsOf(next), [ids[2]])
})

test('does not repeat a run when new ones come in between two pages', async () => {
  await using service = await shareService()
  const ids = (await submitMany(service, 4)).toReversed()
  const { nextPageToken } = await list(service, { pageSize: '2' })
  await submitMany(service, 3)
  assert.equal(idsOf(await list(service, { pageSize: '2', pageToken: nextPageToken ?? '' })), ids.slice(2))
})

test('shows 50 runs by default, and at most 500', async () => {
  await using service = await shareService()
  const posts = Array.from({ length: 505 }, () => submit(service, { ...waiting, delayMs: 60_000 }))
  await Promise.all(posts)
  const first = await list(service)
  assert.is(first.runs.length, 50)
  assert.is(first.pageSize, 50)
  assert.is((await list(service, { pageSize: '500' })).runs.length, 500)
  const response = await service.get('/runs?pageSize=100000')
  assert.match(response.headers.get('Link') ?? '', 'pageSize=500&')
  const tag = response.headers.get('ETag') ?? ''
  const known = await service.get('/runs?pageSize=100000', { 'If-None-Match': tag })
  assert.equal([known.status, await known.text()], [304, ''], 'a large one has a tag, too')
  const capped = (await response.json()) as Page
  assert.is(capped.runs.length, 500)
  assert.is(capped.pageSize, 500)
  assert.is((await list(service, { pageSize: '100000', pageToken: capped.nextPageToken ?? '' })).runs.length, 5)
})

test('filters by state, task and tag, and by all of them at once', async () => {
  await using service = await shareService()
  const done = await submit(service, { name: 'echo' }, ['a', 'b'])
  const failed = await submit(service, { name: 'fail' }, ['a'])
  const running = await submit(service, waiting, ['b'])
  await ended(service, done.id)
  await ended(service, failed.id)
  const cases: [Record<string, string>, RunView[]][] = [
    [{ state: 'running' }, [running]],
    [{ state: 'completed' }, [done]],
    [{ state: 'failed' }, [failed]],
    [{ state: 'cancelled' }, []],
    [{ task: 'fail' }, [failed]],
    [{ task: 'nope' }, []],
    [{ tag: 'a' }, [failed, done]],
    [{ tag: 'b' }, [running, done]],
    [{ tag: 'A' }, []],
    [{ tag: 'a', state: 'completed', task: 'echo' }, [done]],
    [{ tag: 'a', state: 'completed', task: 'fail' }, []],
    [{ tag: "a' OR 1=1 --" }, []],
  ]
  for (const [query, expected] of cases) {
    assert.equal(
      idsOf(await list(service, query)),
      expected.map(({ id }) => id),
      JSON.stringify(query),
    )
  }
})

test('filters by the time of creation, bounds excluded', async () => {
  await using service = await shareService()
  const runs: RunView[] = []
  for (let index = 0; index < 3; index += 1) {
    const run = await submit(service, waiting)
    runs.push(run)
    await until('a millisecond has passed', () => Date.now() > Date.parse(run.createdAt))
  }
  const [a, b, c] = runs.map(({ createdAt }) => createdAt)
  const [idA, idB, idC] = runs.map(({ id }) => id)
  assert.equal(idsOf(await list(service, { createdAfter: a ?? '' })), [idC, idB])
  assert.equal(idsOf(await list(service, { createdBefore: c ?? '' })), [idB, idA])
  assert.equal(idsOf(await list(service, { createdAfter: a ?? '', createdBefore: c ?? '' })), [idB])
  assert.equal(idsOf(await list(service, { createdAfter: b ?? '', createdBefore: b ?? '' })), [])
  const inParis = `${new Date(Date.parse(b ?? '') + 3_600_000).toISOString().slice(0, -1)}+01:00`
  assert.equal(idsOf(await list(service, { createdAfter: inParis })), [idC])
})

test('refuses an unknown filter or value', async () => {
  await using service = await shareService()
  const bad = ['state=done', 'state=', 'state=running&state=failed', 'status=running', 'task=', 'tag=', 'PageSize=1']
  const sizes = ['0', '-1', '1.5', 'x', '', '1e3', ' 1'].map((size) => `pageSize=${encodeURIComponent(size)}`)
  const instants = ['yesterday', '2026-11-23', '1700000000000', '2026-13-01T00:00:00Z', '2026-11-23T00:00:00', '']
  const bounds = instants.flatMap((at) => [`createdAfter=${at}`, `createdBefore=${at}`])
  for (const query of [...bad, ...sizes, ...bounds, '__proto__=1', `tag=${'x'.repeat(65)}`]) {
    const { detail } = await expectProblem(await service.get(`/runs?${query}`), 'invalid-filter')
    assert.ok(detail.includes(query.split('=')[0] ?? '?'), `${query}: ${detail}`)
  }
})

test('is not sent again to a client that has it', async () => {
  await using service = await shareService()
  const { id } = await submit(service, waiting)
  const first = await service.get('/runs')
  const tag = first.headers.get('ETag') ?? ''
  const again = await service.get('/runs', { 'If-None-Match': tag })
  assert.is(again.status, 304)
  assert.is(await again.text(), '')
  assert.is((await service.get('/runs?pageSize=7', { 'If-None-Match': tag })).status, 200)
  await service.post(`/runs/${id}/cancel`)
  const changed = await service.get('/runs', { 'If-None-Match': tag })
  assert.is(changed.status, 200)
  assert.is.not(changed.headers.get('ETag'), tag)
})

test('refuses a page token that it has not made', async () => {
  await using service = await shareService()
  const tokens = ['', 'x', 'null', Buffer.from('0').toString('base64url'), Buffer.from("' OR 1").toString('base64url')]
  for (const token of tokens) {
    await expectProblem(await service.get(`/runs?pageToken=${token}`), 'invalid-page-token')
  }
})

async function search(service: Service, query: Record<string, string>): Promise<string[]> {
  const response = await service.get(`/runs?${new URLSearchParams(query).toString()}`)
  assert.is(response.status, 200)
  const { runs } = (await response.json()) as { readonly runs: readonly RunView[] }
  return runs.map(({ id }) => id)
}

test('finds a run by the text of its error', async () => {
  await using service = await shareService()
  const tasks = [{ name: 'fail', input: { message: 'the printer is on fire' }, maxAttempts: 1 }]
  const { id } = await readRun(await service.post('/run-tasks', { tasks, respond: 'none' }))
  await service.post('/run-tasks', { tasks: [{ name: 'echo', input: 'fire' }] })
  await until('it is found', async () => (await search(service, { q: 'printer fire' })).includes(id))
  assert.equal(await search(service, { q: 'printer', state: 'completed' }), [])
  const counted = await service.post('/runs/retry?q=print*%20fire&state=failed&dryRun=true')
  assert.equal(await counted.json(), { matched: 1, changed: 0 })
})

test('refuses a search without words or without an index', async () => {
  await using service = await startService({ searchIndex: false })
  for (const q of ['', '%20', '***', '-%22-', 'x'.repeat(201), 'echo']) {
    await expectProblem(await service.get(`/runs?q=${q}`), 'invalid-filter')
  }
})

test('a page token gives back the id that it was made of', () => {
  fc.assert(fc.property(fc.uuid({ version: 7 }), (id) => parsePageToken(pageTokenOf(id)) === id))
})

test('every other text is refused as a page token, and nothing else is thrown', () => {
  const noise = fc.oneof(anyText(), fc.base64String(), fc.uuid(), fc.constant(''))
  fc.assert(
    fc.property(noise, (text) => {
      assert.is(refusalOf(text), 'invalid-page-token', JSON.stringify(text))
    }),
  )
})

test('a page token that was changed anywhere is refused or names another run', () => {
  const id = newRunId()
  const token = pageTokenOf(id)
  fc.assert(
    fc.property(fc.nat(token.length), anyText({ minLength: 1, maxLength: 3 }), (at, inserted) => {
      const changed = token.slice(0, at) + inserted + token.slice(at)
      assert.is(refusalOf(changed), 'invalid-page-token', JSON.stringify(changed))
    }),
  )
})

function refusalOf(text: string): string | undefined {
  try {
    parsePageToken(text)
    return undefined
  } catch (error) {
    if (error instanceof AppError) return error.code
    throw error
  }
}

test.run()
