import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { shareService } from '../harness/service.ts'
import { expectProblem } from './expect-problem.ts'

const from = (site: string) => ({ 'Sec-Fetch-Site': site })

test('a web page of another site cannot start or end work; one of the same site and a program can', async () => {
  await using service = await shareService()
  const body = { tasks: [{ name: 'echo' }] }
  await expectProblem(await service.post('/run-tasks', body, from('cross-site')), 'cross-site')
  await expectProblem(await service.post('/runs/x/cancel', undefined, from('cross-site')), 'cross-site')
  const removed = await service.fetch('/runs/x', { method: 'DELETE', headers: from('cross-site') })
  await expectProblem(removed, 'cross-site')
  for (const site of ['same-origin', 'same-site', 'none']) {
    assert.is((await service.post('/run-tasks', body, from(site))).status, 200)
  }
  assert.is((await service.get('/runs', from('cross-site'))).status, 200)
})

test.run()
