/** GET /runs?q=: runs by words of what they hold. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/http/views/run.ts'
import { readRun } from '../harness/run.ts'
import { type Service, shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

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

test('refuses a search without words, or where there is no index', async () => {
  await using service = await startService({ searchIndex: false })
  for (const q of ['', '%20', '***', '-%22-', 'x'.repeat(201), 'echo']) {
    await expectProblem(await service.get(`/runs?q=${q}`), 'invalid-filter')
  }
})

test.run()
