/** `context.step` of one attempt, without a store: what it runs, keeps and refuses. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  maxStepBytes,
  maxStepNameLength,
  maxSteps,
  stepsPerPage,
  type AttemptSteps,
  type Step,
  type StepReport,
} from '../../src/domain/claim.ts'
import type { StepFunction } from '../../src/domain/task.ts'
import { createStep } from '../../src/execution/task-context.ts'
import { rejects } from '../harness/rejects.ts'

interface Attempt {
  readonly step: StepFunction
  readonly kept: Step[]
  /** Places from which stored steps were read. */
  readonly reads: number[]
  isOver: boolean
}

/** An attempt of a job with these stored steps. */
function attempt(stored: readonly Step[] = [], report: StepReport = 'kept', isVoid = false, agoMs = 0): Attempt {
  const startedAt = performance.now() - agoMs
  const kept: Step[] = []
  const reads: number[] = []
  const steps: AttemptSteps = {
    async keep(step) {
      kept.push(step)
      return report
    },
    async stored(from) {
      reads.push(from)
      if (isVoid) return null
      const next = from + stepsPerPage
      return { steps: stored.slice(from, next), next: next < stored.length ? next : null }
    },
  }
  const state: Attempt = {
    step: createStep({ stored: stored.length, steps, isOver: () => state.isOver, startedAt }),
    kept,
    reads,
    isOver: false,
  }
  return state
}

const storedOf = (count: number): Step[] =>
  Array.from({ length: count }, (_, index) => ({ name: `s${index}`, value: String(index) }))

function forbidden(): never {
  throw new Error('its work was run')
}

/** Resolves to the message of the error, which must not be retryable. */
async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await rejects(promise, 'StepError')
  assert.is(Reflect.get(error, 'retryable'), false)
  return error.message
}

test('the first call runs the work, keeps its value, and returns it', async () => {
  const { step, kept, reads } = attempt()
  assert.equal(await step('charge', async () => ({ id: 7, at: new Date(0) })), {
    id: 7,
    at: '1970-01-01T00:00:00.000Z',
  })
  assert.is(await step('nothing', () => {}), null)
  assert.equal(kept, [
    { name: 'charge', value: '{"id":7,"at":"1970-01-01T00:00:00.000Z"}' },
    { name: 'nothing', value: 'null' },
  ])
  assert.equal(reads, [], 'nothing was stored, so nothing is read')
})

test('a later attempt returns the stored value without running the work', async () => {
  const { step, kept, reads } = attempt([{ name: 'charge', value: '{"id":7}' }])
  assert.equal(await step('charge', forbidden), { id: 7 })
  assert.is(await step('mail', () => 'sent'), 'sent')
  assert.equal(kept, [{ name: 'mail', value: '"sent"' }])
  assert.equal(reads, [0], 'read once, when the first is asked for')
})

test('stored steps are read in pages, in any order of the calls', async () => {
  const { step, kept, reads } = attempt(storedOf(2 * stepsPerPage + 1))
  assert.is(await step('s0', forbidden), 0)
  assert.equal(reads, [0])
  const last = `s${2 * stepsPerPage}`
  const both = await Promise.all([step(last, forbidden), step('new', () => 'new'), step('s1', forbidden)])
  assert.equal(both, [2 * stepsPerPage, 'new', 1])
  assert.equal(reads, [0, stepsPerPage, 2 * stepsPerPage])
  assert.equal(
    kept.map(({ name }) => name),
    ['new'],
  )
})

test('a step resolves only when it is kept', async () => {
  const { promise: committed, resolve } = Promise.withResolvers<StepReport>()
  let isResolved = false
  const step = createStep({
    stored: 0,
    steps: { keep: () => committed, stored: async () => null },
    isOver: () => false,
    startedAt: performance.now(),
  })
  const running = step('a', () => 1).then(() => (isResolved = true))
  await new Promise(setImmediate)
  assert.is(isResolved, false)
  resolve('kept')
  await running
})

test('a name that is used twice in an attempt throws, also if the first step failed', async () => {
  const { step, kept } = attempt([{ name: 'stored', value: '1' }])
  await step('stored', forbidden)
  await step('run', () => 2)
  assert.is((await rejects(step('failed', forbidden), 'Error')).message, 'its work was run')
  for (const name of ['stored', 'run', 'failed']) {
    assert.is(await refusal(step(name, forbidden)), `step "${name}": the name was used before in this attempt`)
  }
  const [first, second] = await Promise.allSettled([step('at once', () => 1), step('at once', forbidden)])
  assert.equal([first.status, second.status], ['fulfilled', 'rejected'])
  assert.equal(
    kept.map(({ name }) => name),
    ['run', 'at once'],
  )
})

test('an error of the work is thrown, and nothing is kept', async () => {
  const { step, kept } = attempt()
  const thrown = new Error('declined')
  for (const [name, work] of [
    [
      'throws',
      (): never => {
        throw thrown
      },
    ],
    ['rejects', () => Promise.reject(thrown)],
  ] as const) {
    assert.is(await rejects(step(name, work), 'Error'), thrown)
  }
  assert.equal(kept, [])
})

test('a value that is not JSON is refused with the name of its step and a JSON Pointer', async () => {
  const { step, kept } = attempt()
  const deep = JSON.parse('['.repeat(201) + ']'.repeat(201)) as unknown
  const refused: readonly (readonly [string, unknown, string])[] = [
    ['nan', { a: Number.NaN }, 'step "nan": its value is not a JSON value: NaN at /a'],
    ['fn', () => 1, 'step "fn": its value is not a JSON value: a function'],
    ['map', new Map(), 'step "map": its value is not a JSON value: an object of class Map'],
    ['deep', deep, 'step "deep": its value is nested more than 200 levels deep'],
  ]
  for (const [name, value, problem] of refused) assert.ok((await refusal(step(name, () => value))).startsWith(problem))
  assert.equal(kept, [])
})

test('a value has 64 KiB at most', async () => {
  const { step, kept } = attempt()
  const textOf = (bytes: number): string => 'é'.repeat((bytes - 2) / 2)
  await step('fits', () => textOf(maxStepBytes))
  assert.is(Buffer.byteLength(kept[0]?.value ?? ''), 65_536)
  assert.is(
    await refusal(step('large', () => textOf(maxStepBytes + 2))),
    'step "large": its value has 65538 bytes as JSON; 65536 are allowed',
  )
  const many = await refusal(step('many', () => Array(100_000).fill(0)))
  assert.is(many, 'step "many": its value has more than the 65536 bytes as JSON that are allowed')
  assert.is(kept.length, 1)
})

test('a job has 1,000 steps at most, those of earlier attempts included', async () => {
  const { step, kept } = attempt(storedOf(maxSteps - 1))
  await step('last', () => 1)
  assert.is(await refusal(step('one more', forbidden)), 'step "one more": a job can have 1000 steps at most')
  assert.is(await step('s0', forbidden), 0, 'stored ones are still found')
  assert.is(kept.length, 1)
  const full = attempt([], 'full')
  assert.match(await refusal(full.step('a', () => 1)), /^step "a": it was not stored/)
})

test('a step whose work failed does not count', async () => {
  const { step } = attempt(storedOf(maxSteps - 1))
  await rejects(step('failed', forbidden), 'Error')
  assert.is(await step('last', () => 1), 1)
})

test('a name is a text of 1 to 200 characters, and the work a function', async () => {
  const { step, kept } = attempt()
  const wrong: unknown[] = ['', 'x'.repeat(maxStepNameLength + 1), 'a\0b', '\ud800', 7, null, undefined, {}]
  for (const name of wrong)
    assert.match(await refusal(step(name as string, forbidden)), /^step: its name must be a text/)
  assert.is(await refusal(step('a', 1 as unknown as () => void)), 'step "a": its work must be a function')
  for (const name of ['x'.repeat(maxStepNameLength), '__proto__', 'toString', '😀 \n']) await step(name, () => name)
  assert.is(kept.length, 4)
})

test('a step under a void claim rejects, and before its work if it reads the store first', async () => {
  const late = attempt([], 'stale')
  assert.match(await refusal(late.step('a', () => 1)), /^step "a": its claim is void/)
  const knows = attempt(storedOf(1), 'kept', true)
  assert.match(await refusal(knows.step('b', forbidden)), /^step "b": its claim is void/)
  // As after its process stood still: another one may have run the work since.
  const woken = attempt([], 'kept', true, 5_000)
  assert.match(await refusal(woken.step('c', forbidden)), /^step "c": its claim is void/)
  const slow = attempt([], 'kept', false, 5_000)
  assert.equal([await slow.step('d', () => 1), await slow.step('e', () => 2)], [1, 2])
  assert.equal(slow.reads, [1], 'it asks once in a while')
})

test('an attempt that is over begins no step and keeps none', async () => {
  const ended = attempt()
  ended.isOver = true
  assert.is(await refusal(ended.step('a', forbidden)), 'step "a": its attempt is over')
  const ending = attempt()
  const running = ending.step('b', () => {
    ending.isOver = true
  })
  assert.is(await refusal(running), 'step "b": it was not stored, because its attempt is over')
  assert.equal(ending.kept, [])
})

test.run()
