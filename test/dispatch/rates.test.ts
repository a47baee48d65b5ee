/** Tasks with a rate in a running service: jobs wait their turn, say so, and start as soon as they may. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/client/client.ts'
import type { TaskListView } from '../../src/http/views/stats.ts'
import { jobAt, readRun } from '../harness/run.ts'
import { startDispatchService } from './dispatch-service.ts'

const rate = { limit: 2, perMs: 400 }
const rated = (input: number) => ({ name: 'rated-io', input })

const ratedStarts = ({ jobs }: RunView): number[] =>
  jobs.filter(({ task }) => task === 'rated-io').map(({ startedAt }) => Date.parse(startedAt ?? ''))

/** Fails where a window has more starts than it may; instants of all the runs' jobs of the task. */
function checkStarts(runs: readonly RunView[]): void {
  const instants = runs.flatMap(ratedStarts).toSorted((one, other) => one - other)
  for (const [index, at] of instants.entries()) {
    const earlier = instants[index - rate.limit] ?? -Infinity
    assert.ok(at - earlier >= rate.perMs, instants.join(' '))
  }
}

test('jobs beyond the rate wait their turn and say so, others pass them, and all start in the end', async () => {
  await using dispatch = await startDispatchService()
  const { service, runWhen } = dispatch
  const entries = [1, 2, 3, 4, 5].map((input) => ({ ...rated(input), priority: 9 }))
  const id = await dispatch.accept(...entries, { name: 'numbered-io', input: 1 })
  const waitingIn = ({ jobs }: RunView) => jobs.find(({ waiting }) => waiting?.reason === 'rate')?.waiting
  const early = await runWhen(id, 'a job waits for its turn', (run) => waitingIn(run) !== undefined)
  const waiting = waitingIn(early)
  assert.equal([waiting?.reason, waiting?.limit, waiting?.perMs], ['rate', 2, 400])
  assert.ok(Date.parse(waiting?.until ?? '') > Date.parse(early.createdAt))
  const ended = await runWhen(id, 'all have ended', ({ state }) => state !== 'running')
  assert.is(ended.state, 'completed')
  assert.ok(
    Date.parse(jobAt(ended, 5).startedAt ?? '') < Math.max(...ratedStarts(ended)),
    'it did not wait for the others',
  )
  checkStarts([ended])
  const { tasks } = (await (await service.get('/tasks')).json()) as TaskListView
  assert.equal(tasks.find(({ name }) => name === 'rated-io')?.rate, rate)
  assert.is(tasks.find(({ name }) => name === 'numbered-io')?.rate, null)
})

test('a first job takes its turn in the pool, and its caller waits for it', async () => {
  await using dispatch = await startDispatchService()
  const { service } = dispatch
  const ask = async (input: number, headers = {}) => {
    const response = await service.post('/run-tasks', { tasks: [rated(input)] }, headers)
    return { status: response.status, run: await readRun(response) }
  }
  const first = await ask(1)
  assert.equal([first.status, first.run.result], [200, 1])
  assert.match(jobAt(first.run, 0).thread ?? '', /^worker-/)
  const second = await ask(2)
  const third = await ask(3, { Prefer: 'wait=0' })
  assert.equal([third.status, jobAt(third.run, 0).state], [202, 'queued'])
  const fourth = await ask(4)
  assert.equal([fourth.status, fourth.run.result], [200, 4])
  const ended = await readRun(await service.get(`/runs/${third.run.id}`))
  checkStarts([first.run, second.run, ended, fourth.run])
})

test.run()
