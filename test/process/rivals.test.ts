/** One database file has one process at a time: a second one waits for the first to leave, and in vain for 15 s. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome, type Child, type Home, type Process } from '../harness/child.ts'
import { readRun } from '../harness/run.ts'
import { endsWithRefusal } from './refusal.ts'

const request = { tasks: [{ name: 'mark-io', input: { ms: 0, failures: 0, value: 1 } }] }

interface Rivals {
  readonly home: Home
  readonly first: Child
  readonly second: Process
}

// Begun when this file is loaded, which is before the tests of all files: nothing else happens in those 15 s.
const rivals = startRivals()
rivals.catch(() => {})

async function startRivals(): Promise<Rivals> {
  const home = await makeHome()
  const first = await home.start()
  return { home, first, second: home.spawn() }
}

test('a second process waits in vain, and the first goes on; when that one leaves, another one gets in', async () => {
  const { first, second, ...rest } = await rivals
  await using home = rest.home
  await endsWithRefusal(second, [home.databasePath])
  assert.is((await first.post('/run-tasks', request)).status, 200)

  const opening = home.start()
  assert.equal(await first.kill('SIGTERM'), { code: 0, signal: null })
  const successor = await opening
  const response = await successor.post('/run-tasks', request)
  assert.equal((await readRun(response)).result, { value: 1 })
})

test.run()
