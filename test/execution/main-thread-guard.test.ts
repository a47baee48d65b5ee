/** How the guard of the main thread counts and handles tasks that held it up. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createMainThreadGuard, Interrupted } from '../../src/execution/main-thread/main-thread-guard.ts'
import { createLog } from '../../src/log.ts'
import type { Task } from '../../src/tasks/task-module.ts'

const policy = {
  kind: 'cpu',
  timeoutMs: 1_000,
  maxAttempts: 1,
  memoryMb: 64,
  main: 'auto',
  concurrency: null,
  isolation: 'thread',
  rate: null,
} as const

function taskNamed(name: string): Task {
  return { name, definition: {}, url: '', policy, input: undefined, secret: [], run: () => {} }
}

const log = createLog('silent')

/** Times that only the test moves, so that a slow machine changes nothing. */
function makeTimes() {
  const at = { now: 1_000, worked: 0 }
  return {
    times: { now: () => at.now, workedMs: () => at.worked },
    work(ms: number): void {
      at.now += ms
      at.worked += ms
    },
    wait(ms: number): void {
      at.now += ms
    },
  }
}

test('overruns are counted by task, and tasks that cool down are listed', () => {
  let now = 1_000
  const { times, work } = makeTimes()
  const guard = createMainThreadGuard({ budgetMs: 100, clock: { now: () => now }, times, log })
  assert.equal(guard.counts(), { overruns: {}, coolingDown: [] })

  const endless = taskNamed('endless')
  assert.throws(
    () =>
      guard.call(endless, () => {
        work(100)
        for (;;);
      }),
    (error: unknown) => error instanceof Interrupted,
  )
  const proven = taskNamed('proven')
  for (let call = 0; call < 20; call += 1) guard.call(proven, () => 1)
  guard.call(proven, () => work(100))
  const overruns = {
    endless: { interrupted: 1, overBudget: 0 },
    proven: { interrupted: 0, overBudget: 1 },
  }
  assert.equal(guard.counts(), { overruns, coolingDown: ['endless', 'proven'] })
  assert.not.ok(guard.allows(proven))

  now += 60_000
  assert.equal(guard.counts(), { overruns, coolingDown: [] })
  assert.ok(guard.allows(proven))
})

test('a long call in which the thread hardly worked counts only when it is repeated', () => {
  const { times, wait } = makeTimes()
  const guard = createMainThreadGuard({ budgetMs: 60_000, clock: { now: () => 1_000 }, times, log })
  const task = taskNamed('waits')
  const block = (): void => guard.call(task, () => wait(60_000)) as void
  const allowed: boolean[] = []
  for (let round = 0; round < 3; round += 1) {
    for (let call = 0; call < 20; call += 1) guard.call(task, () => 1)
    block()
    allowed.push(guard.allows(task))
  }
  assert.equal(allowed, [true, true, true], 'quick calls in between speak for it')
  block()
  assert.ok(guard.allows(task))
  block()
  assert.not.ok(guard.allows(task))
})

test('without room for a limited call, only tasks that are known as quick are called', () => {
  let hasRoom = true
  const clock = { now: () => 1_000 }
  const { times } = makeTimes()
  const guard = createMainThreadGuard({ budgetMs: 60_000, hasRoom: () => hasRoom, clock, times, log })
  const [proven, unknown] = [taskNamed('proven'), taskNamed('unknown')]
  for (let call = 0; call < 20; call += 1) guard.call(proven, () => 1)
  hasRoom = false
  assert.ok(guard.allows(unknown), 'it is not known yet')
  assert.throws(
    () => guard.call(unknown, () => assert.unreachable()),
    (error: unknown) => error instanceof Interrupted,
  )
  assert.not.ok(guard.allows(unknown))
  assert.ok(guard.allows(proven))
  assert.is(
    guard.call(proven, () => 'called'),
    'called',
  )
  assert.equal(guard.counts(), { overruns: {}, coolingDown: [] })
})

test.run()
