/** Steps between a thread and the main thread, when the thread ends before the reply. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Claim, StepKeeper, StepReport } from '../../src/domain/claim.ts'
import { openPool } from '../harness/pool.ts'
import { until } from '../harness/until.ts'

/** Replies when the test calls it. */
function createHeldKeeper() {
  const held = new Map<string, PromiseWithResolvers<StepReport>>()
  const claims: Claim[] = []
  const keeper: StepKeeper = {
    keep(claim, { name }) {
      const reply = Promise.withResolvers<StepReport>()
      held.set(name, reply)
      claims.push(claim)
      return reply.promise
    },
    stored: () => Promise.reject(new Error('the store is broken')),
  }
  return {
    keeper,
    claims,
    reply: (name: string) => until(`the step ${name} is to be kept`, () => held.get(name)),
  }
}

test('the next thread ignores a reply for a thread that was killed', async () => {
  const { keeper, claims, reply } = createHeldKeeper()
  await using opened = await openPool({ threads: 1, ioThreads: 0, keeper })
  const first = await opened.start({ task: 'steps-cpu', input: 'late', timeoutMs: 50 })
  const late = await reply('late')
  assert.is((await first.outcome) === 'released', false)
  const second = await opened.start({ task: 'steps-cpu', input: 'own' })
  const own = await reply('own')
  late.resolve('kept')
  // Its reply would go out first.
  await new Promise(setImmediate)
  own.resolve('full')
  const outcome = await second.outcome
  assert.ok(outcome !== 'released' && !outcome.ok)
  assert.match(outcome.error.message, /^step "own": it was not stored/)
  assert.equal(new Set(claims.map(({ runId }) => runId)).size, 2)
})

test('a step that the store cannot keep or read fails with the error of the store', async () => {
  const { keeper, reply } = createHeldKeeper()
  await using opened = await openPool({ threads: 1, ioThreads: 0, keeper })
  const running = await opened.start({ task: 'steps-cpu', input: 'refused' })
  ;(await reply('refused')).reject(new Error('no such table'))
  const outcome = await running.outcome
  assert.equal(outcome !== 'released' && !outcome.ok && outcome.error.message, 'no such table')
})

test.run()
