/** What has gone wrong inside the service is in its log, and no caller is told. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AppError } from '../../src/domain/errors.ts'
import { sendProblem } from '../../src/http/problem.ts'
import { createLog } from '../../src/log.ts'
import { serve } from '../library/instance.ts'

const log = createLog('silent')
const inside = 'getRun: connect ECONNREFUSED 127.0.0.1:4290; SELECT * FROM run; /srv/data/forerunner.db'
const runId = '01a20726-511c-723c-9ce9-a7c9e9b12f72'

async function answerTo(thrown: unknown): Promise<string> {
  await using app = await serve((ctx) => sendProblem(ctx, thrown, log))
  return (await fetch(app.url)).text()
}

test('a problem with the database or of the service itself is one fixed sentence', async () => {
  const cause = new Error(inside)
  for (const thrown of [
    new AppError('store-unavailable', inside, { cause }),
    new AppError('internal', inside, { cause }),
    cause,
    inside,
  ]) {
    const text = await answerTo(thrown)
    for (const word of ['ECONNREFUSED', '4290', 'SELECT', 'srv', 'getRun']) assert.not.match(text, word)
  }
})

test('a refusal about an accepted run says what cannot be done with it', async () => {
  const detail = 'the run is accepted and cannot be read now'
  const thrown = new AppError('store-unavailable', detail, { cause: new Error(inside), members: { runId } })
  const answer = JSON.parse(await answerTo(thrown)) as Record<string, unknown>
  assert.is(answer['detail'], detail)
  assert.is(answer['runId'], runId)
})

test.run()
