/** GET /runs/{id}/log: what the tasks of a run have logged, wherever they ran. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient, type LinePageView } from '../../src/client/client.ts'
import { newRunId } from '../../src/domain/ids.ts'
import { expectProblem } from './expect-problem.ts'
import { readRun } from '../harness/run.ts'
import { startService, type Service } from '../harness/service.ts'

const service = await startService()

async function pageOf(of: Service, id: string, query = ''): Promise<LinePageView> {
  const response = await of.get(`/runs/${id}/log${query}`)
  assert.is(response.status, 200)
  return (await response.json()) as LinePageView
}

const input = { texts: ['one', 'two'], password: 'hunter22' }

test('lines of every attempt are shown, from the main thread and from the pool, without secrets and stacks', async () => {
  const tasks = [
    { name: 'logs', input: { ...input, failures: 1 }, maxAttempts: 2 },
    { name: 'logs', input },
    { name: 'nothing' },
  ]
  const run = await readRun(await service.post('/run-tasks', { tasks, respond: 'all' }))
  const { lines, hasMore } = await pageOf(service, run.id)
  assert.is(hasMore, false)
  const shown = lines.map(({ level, jobIndex, attempt, message }) => `${level} ${jobIndex}/${attempt} ${message}`)
  const firstAttempt = ['info 0/1 one', 'info 0/1 two', 'error 0/1 it fails']
  assert.equal(
    shown.toSorted(),
    [...firstAttempt, 'info 0/2 one', 'info 0/2 two', 'info 1/1 one', 'info 1/1 two'].toSorted(),
  )
  assert.equal(
    shown.filter((line) => line.includes(' 0/1 ')),
    firstAttempt,
    'in their order',
  )
  const [{ fields }] = lines as [LinePageView['lines'][number]]
  assert.equal(fields, { attempt: 1, password: '•••', 'of •••': true })
  const failure = lines.find(({ level }) => level === 'error')
  assert.equal(failure?.error, { message: 'on purpose', name: 'RangeError' })
  for (const { at } of lines) assert.ok(at >= run.createdAt && at <= new Date().toISOString())
})

test('lines come in pages, and those after a known one', async () => {
  const texts = Array.from({ length: 7 }, (_, index) => `line ${index}`)
  const run = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'logs', input: { texts } }] }))
  const first = await pageOf(service, run.id, '?pageSize=3')
  assert.equal([first.lines.length, first.hasMore], [3, true])
  const rest = await pageOf(service, run.id, `?after=${first.lines.at(-1)?.id}&pageSize=9999`)
  assert.equal([rest.lines.length, rest.hasMore], [4, false])
  assert.equal(
    [...first.lines, ...rest.lines].map(({ message }) => message),
    texts,
  )
  assert.equal((await pageOf(service, run.id, `?after=${rest.lines.at(-1)?.id}`)).lines, [])
  const client = createClient({ baseUrl: service.url })
  let all = 0
  for await (const { id } of client.allLines(run.id)) all += Number(id > 0)
  assert.is(all, 7)
  const { headers } = await service.get(`/runs/${run.id}/log`)
  const same = await service.get(`/runs/${run.id}/log`, { 'If-None-Match': headers.get('ETag') ?? '' })
  assert.is(same.status, 304)
})

test('a run without lines has an empty log; an unknown run or an invalid number is refused', async () => {
  const { id } = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'nothing' }] }))
  assert.equal(await pageOf(service, id), { lines: [], hasMore: false })
  await expectProblem(await service.get(`/runs/${newRunId(Date.now())}/log`), 'run-not-found')
  await expectProblem(await service.get('/runs/none/log'), 'run-not-found')
  for (const query of ['after=-1', 'after=x', 'pageSize=0', 'pageSize=1.5', 'before=1']) {
    await expectProblem(await service.get(`/runs/${id}/log?${query}`), 'invalid-filter')
  }
})

test('with LOG_RETENTION_MS=0 nothing is kept', async () => {
  await using other = await startService({ logRetentionMs: 0 })
  const { id } = await readRun(await other.post('/run-tasks', { tasks: [{ name: 'logs', input }] }))
  assert.equal(await pageOf(other, id), { lines: [], hasMore: false })
})

test('the service leaves as if nothing had been', () => service.stop())

test.run()
