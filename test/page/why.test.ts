/** The sentence that says why a job waits. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobView } from '../../src/client/client.ts'
import { whyOf, type ServiceState } from '../../web/run/why.ts'

const now = Date.UTC(2026, 10, 23)
const job = (members: Partial<JobView>) =>
  ({ task: 'mail', state: 'queued', attempt: 0, runAt: null, ...members }) as JobView

function state(members: Partial<ServiceState['stats']>, concurrency: number | null = null, running = 0): ServiceState {
  const stats = { jobs: { queued: 12 }, unknownTasks: {}, threads: [], ...members }
  const recent = { running: Array.from({ length: running }, () => ({ task: 'mail' })) }
  const tasks = [{ name: 'mail', kind: 'cpu', concurrency }]
  return { stats, recent, tasks } as unknown as ServiceState
}

const thread = (running: number, threadState: 'ready' | 'starting' = 'ready') =>
  ({ name: 'worker-1', kind: 'cpu', state: threadState, running, busyShare: 0 }) as const

test('a job that is not due says when it is', () => {
  const runAt = new Date(now + 65_000).toISOString()
  assert.match(whyOf(job({ runAt }), null, now), /^It is due at .*, in 1 min 05 s: that is its delay\.$/)
  assert.match(
    whyOf(job({ runAt, state: 'retrying', attempt: 2 }), null, now),
    /^Attempt 3 is due at .*, in 1 min 05 s\.$/,
  )
})

test('a job that is due says what it waits for', () => {
  const why = (known: ServiceState | null) => whyOf(job({}), known, now)
  assert.is(why(null), 'It is due.')
  assert.match(why(state({ unknownTasks: { mail: 3 } })), /^No process has the task mail: .* 3 jobs of this kind\.$/)
  assert.is(why(state({}, 2, 2)), '2 jobs of mail run, and no more may at once (concurrency 2).')
  assert.is(why(state({ threads: [thread(1), thread(2)] }, 2, 1)), 'All 2 cpu threads are busy; 12 jobs wait in all.')
  assert.is(why(state({ threads: [thread(0, 'starting')] })), 'No cpu thread is ready: 1 thread starts.')
  assert.is(why(state({ threads: [thread(0)] })), 'It is due, and 12 jobs wait in all for a thread.')
})

test.run()
