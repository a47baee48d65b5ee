import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mock } from 'node:test'
import { createAlarm, createProcessClock } from '../../src/runtime/clock.ts'

function makeClock(origin = 1_789_999_999_500) {
  const time = { system: 1_790_000_000_000, steady: 500.5 }
  const clock = createProcessClock({ system: () => time.system, steady: () => time.steady, origin })
  function pass(ms: number): void {
    time.system += ms
    time.steady += ms
  }
  return { clock, time, pass }
}

test('it runs steadily while the system clock is set, until it is adjusted', () => {
  for (const step of [-86_400_000, -3_600_000, 3_600_000, 86_400_000]) {
    const { clock, time, pass } = makeClock()
    const before = clock.now()
    time.system += step
    pass(250)
    assert.is(clock.now() - before, 250)
    assert.is(clock.follow(), step)
    assert.is(clock.now() - before, 250 + step)
    assert.is(clock.follow(), 0)
    pass(10)
    assert.is(clock.now() - before, 260 + step)
  }
})

test('it starts with the current time of the system', () => {
  const { clock, time } = makeClock(12_345)
  assert.is(clock.now(), time.system)
  assert.is(clock.follow(), 0)
})

test('a small difference is ignored', () => {
  const { clock, time } = makeClock()
  const before = clock.now()
  time.system += 99
  assert.is(clock.follow(), 0)
  assert.is(clock.now(), before)
})

test('without sources it has the time of the system', () => {
  const clock = createProcessClock()
  assert.ok(Math.abs(clock.now() - Date.now()) < 100)
  assert.ok(Number.isInteger(clock.now()))
})

test('an alarm rings when the clock shows its instant, however far ahead, and not when it is unset', () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    let now = 1_000
    let rung = 0
    const alarm = createAlarm({ now: () => now, follow: () => 0 }, () => (rung += 1))
    const pass = (ms: number): void => {
      now += ms
      mock.timers.tick(ms)
    }
    const monthMs = 30 * 86_400_000
    alarm.set(now + 3 * monthMs)
    for (let month = 0; month < 3; month += 1) {
      assert.is(rung, 0, `month ${month}`)
      pass(monthMs / 2)
      pass(monthMs / 2)
    }
    assert.is(rung, 1)
    alarm.set(now + 10)
    alarm.set(now + 20)
    pass(15)
    assert.is(rung, 1)
    // The clock was set back: it waits for what it was told.
    now -= 1_000
    pass(5)
    assert.is(rung, 1)
    pass(1_000)
    assert.is(rung, 2)
    alarm.set(now - 1)
    assert.is(rung, 3)
    alarm.set(now + 5)
    alarm.set(null)
    pass(10)
    assert.is(rung, 3)
  } finally {
    mock.timers.reset()
  }
})

test.run()
