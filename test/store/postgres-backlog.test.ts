/** The backlog of all processes: shares from notifications, and from the read once a second. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createBacklog } from '../../src/store/postgres/statements/totals.ts'
import type { Query } from '../../src/store/postgres/connection/connection.ts'

test('notifications during a read are newer than its result', async () => {
  const backlog = createBacklog()
  const found = Promise.withResolvers<Record<string, unknown>[]>()
  const query: Query = () => found.promise
  backlog.setShare('1 1', 2)
  const refreshed = backlog.refresh(query)
  backlog.setShare('2 1', 50)
  found.resolve([
    { name: '1 1', share: 2 },
    { name: '2 1', share: 10 },
    { name: '3 1', share: 3 },
  ])
  await refreshed
  assert.is(backlog.jobs(), 55)
  await backlog.refresh(() => Promise.resolve([{ name: '1 1', share: 2 }]))
  assert.is(backlog.jobs(), 2, 'a process that is gone counts no more')
})

test.run()
