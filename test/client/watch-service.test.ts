/** Watching a run of the service, from its beginning to its end. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient, type WatchEvent } from '../../src/client/client.ts'
import { attend } from '../fixtures/tasks/meet.ts'
import { shareService } from '../harness/service.ts'
import { sharedContract } from '../http/contract.ts'
import { collect } from './collect.ts'

/** What is wrong with an event by the schemas of the document; null where nothing is. */
function issueOf(event: WatchEvent): string | null {
  const { issuesOf } = sharedContract()
  if (event.type === 'run') return issuesOf(event.run, ['components', 'schemas', 'Run'])
  const { type: _type, ...progress } = event
  return issuesOf(progress, ['components', 'schemas', 'Progress'])
}

test('reports every state of a run that is watched from its start, in the form of the contract', async () => {
  await using service = await shareService()
  const client = createClient({ baseUrl: service.url })
  const meeting = `${service.url}/watch`
  const long = 'x'.repeat(20_000)
  const tasks = [
    { name: 'meet', input: { meeting, count: 2 } },
    { name: 'echo', input: long },
  ]
  const { id } = await client.runTasks({ tasks, respond: 'none' })
  const watching = client.watch(id)
  const { value: first } = await watching.next()
  assert.is(first?.type === 'run' && first.run.state, 'running')
  await attend({ meeting, count: 2 }, 'the test')
  const events = await collect(watching)
  for (const event of events) assert.is(issueOf(event), null, JSON.stringify(event))
  const last = events.at(-1)
  if (last?.type !== 'run') throw new Error('the last event is no run')
  assert.is(last.run.state, 'completed')
  assert.equal([last.run.jobs[1]?.result, last.run.jobs[1]?.resultBytes], [undefined, long.length + 2])
  const versions = events.flatMap((event) => (event.type === 'run' ? [event.run.version] : []))
  assert.equal(
    versions,
    Array.from(new Set(versions)).toSorted((a, b) => a - b),
  )
  assert.equal(await client.getRun(id, { ifNewerThan: last.run.version }), null)
})

test('waits for a newer version', async () => {
  await using service = await shareService()
  const client = createClient({ baseUrl: service.url })
  const { id } = await client.runTasks({ tasks: [{ name: 'wait', input: { ms: 60_000 } }], respond: 'none' })
  const { version } = await client.cancel(id)
  const newer = client.getRun(id, { ifNewerThan: version, waitS: 60 })
  await client.retry(id, 0)
  assert.ok(((await newer)?.version ?? 0) > version)
})

test.run()
