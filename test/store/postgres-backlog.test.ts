/** The backlog over all processes: what is heard of their commits, and what is read once a second. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createBacklog } from '../../src/store/postgres/backlog.ts'
import type { Query } from '../../src/store/postgres/connection.ts'

test('what is heard during a read is newer than what the read finds', async () => {
  const backlog = createBacklog(['own intake'])
  const found = Promise.withResolvers<Record<string, unknown>[]>()
  const query: Query = () => found.promise
  backlog.hear('own intake', 2)
  const refreshed = backlog.refresh(query)
  backlog.hear('other intake', 50)
  found.resolve([
    { owner: 'other intake', live: 10 },
    { owner: 'third intake', live: 3 },
  ])
  await refreshed
  assert.is(backlog.jobs(), 55)
  await backlog.refresh(() => Promise.resolve([]))
  assert.is(backlog.jobs(), 2, 'a lane that is gone counts no more')
})

test.run()
