/** A step whose work is done waits for a store that cannot commit, and is not given up before the service stops. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createStepKeeper } from '../../src/dispatch/execute.ts'
import { AppError } from '../../src/domain/errors.ts'
import type { StepReport } from '../../src/domain/claim.ts'
import { createLog } from '../../src/log.ts'
import { rejects } from '../harness/rejects.ts'
import { start } from '../harness/store-run.ts'

const claim = { runId: 'run', jobIndex: 0, claim: 1 }
const step = { name: 'charge', value: '7' }

/** Keeps steps in a store that replies so, in this order. */
function keeperOf(...replies: readonly (StepReport | AppError)[]) {
  const asked: unknown[][] = []
  async function reply(...args: unknown[]): Promise<StepReport> {
    asked.push(args)
    const next = replies[asked.length - 1] ?? new AppError('store-unavailable', 'still away')
    if (next instanceof Error) throw next
    return next
  }
  const clock = { now: () => start }
  const keeper = createStepKeeper({
    store: { keepStep: reply, stepsOf: async () => null },
    clock,
    log: createLog('silent'),
  })
  return { keeper, asked }
}

test('it is tried again until the store has taken it', async () => {
  const away = new AppError('store-unavailable', 'the disk is full')
  const { keeper, asked } = keeperOf(away, away, 'kept')
  assert.is(await keeper.keep({ ...claim, thread: 'worker-1' } as typeof claim, step), 'kept')
  assert.equal(
    asked,
    Array.from({ length: 3 }, () => [claim, step, start]),
  )
})

test('another failure is one of the step', async () => {
  const { keeper, asked } = keeperOf(new AppError('internal', 'no such table'))
  await rejects(keeper.keep(claim, step), 'internal')
  assert.is(asked.length, 1)
})

test('it is given up when the service stops', async () => {
  const { keeper } = keeperOf()
  const keeping = rejects(keeper.keep(claim, step), 'Error')
  keeper.giveUp()
  assert.match((await keeping).message, 'the service stopped before')
})

test.run()
