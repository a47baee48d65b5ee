/** The sentence that says why a job waits. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobView } from '../../src/client/client.ts'
import { whyOf } from '../../web/run/why.ts'

const now = Date.UTC(2026, 10, 23)
const until = new Date(now + 65_000).toISOString()

function why(waiting: Partial<NonNullable<JobView['waiting']>> | null, job: Partial<JobView> = {}): string {
  return whyOf({ task: 'mail', attempt: 0, runAt: null, waitsFor: [], ...job, waiting } as unknown as JobView, now)
}

test('each reason that the service gives is a sentence with its number', () => {
  assert.match(why({ reason: 'delay', until }), /^It is due at .*, in 1 min 05 s: that is its delay\.$/)
  assert.match(why({ reason: 'retry', until }, { attempt: 2 }), /^Attempt 3 is due at .*, in 1 min 05 s\.$/)
  assert.is(why({ reason: 'blocked' }, { waitsFor: [0] }), 'It needs the result of job 0.')
  assert.is(why({ reason: 'blocked' }, { waitsFor: [0, 2, 3] }), 'It needs the results of jobs 0, 2 and 3.')
  assert.match(why({ reason: 'paused' }), /^The task mail is paused: /)
  assert.match(why({ reason: 'unknown-task' }), /^No process has the task mail: /)
  assert.is(why({ reason: 'limit', limit: 1 }), '1 job of mail runs, and no more may at once.')
  assert.is(why({ reason: 'limit', limit: 2 }), '2 jobs of mail run, and no more may at once.')
  assert.match(why({ reason: 'thread' }), /thread/)
  assert.match(why({ reason: 'thread', ahead: 0 }), /^It is the next one to start: /)
  assert.is(why({ reason: 'thread', ahead: 1 }), '1 job is before it in the queue.')
  assert.is(why({ reason: 'thread', ahead: 1_204 }), '1,204 jobs are before it in the queue.')
})

test('a job of which nothing is known is due, and a reason of a newer service is shown as it is', () => {
  assert.is(why(null), 'It is due.')
  assert.is(why({ reason: 'eclipse' as 'limit' }), 'It waits: eclipse.')
})

test.run()
