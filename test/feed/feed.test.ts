/** The feed tells each listener of its own run's changes, for as long as it listens. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunChange } from '../../src/domain/run.ts'
import { createFeed } from '../../src/feed/feed.ts'

const change = (runId: string, version: number): RunChange => ({
  runId,
  version,
  state: 'running',
  isAnswered: false,
  voided: [],
})

test('calls every listener of a run for each of its changes, in order', () => {
  const feed = createFeed()
  const heard: string[] = []
  for (const who of ['a', 'b']) feed.subscribe('run', ({ version }) => heard.push(`${who}${version}`))
  feed.publish(change('run', 1))
  feed.publish(change('run', 2))
  assert.equal(heard, ['a1', 'b1', 'a2', 'b2'])
})

test('hands on the change as it is', () => {
  const feed = createFeed()
  const heard: RunChange[] = []
  feed.subscribe('run', (told) => heard.push(told))
  const last: RunChange = { runId: 'run', version: 9, state: 'failed', isAnswered: true, voided: [] }
  feed.publish(last)
  assert.equal(heard, [last])
})

test('calls no listener for changes of other runs', () => {
  const feed = createFeed()
  const heard: string[] = []
  feed.subscribe('mine', ({ runId }) => heard.push(runId))
  for (const other of ['yours', 'min', '__proto__']) feed.publish(change(other, 1))
  feed.publish(change('mine', 1))
  assert.equal(heard, ['mine'])
})

test('reports nothing from before or after a subscription', () => {
  const feed = createFeed()
  const heard: number[] = []
  feed.publish(change('run', 1))
  const unsubscribe = feed.subscribe('run', ({ version }) => heard.push(version))
  feed.publish(change('run', 2))
  unsubscribe()
  feed.publish(change('run', 3))
  assert.equal(heard, [2])
})

test('ends one subscription and not the others of the run', () => {
  const feed = createFeed()
  const heard: string[] = []
  const unsubscribe = feed.subscribe('run', () => heard.push('a'))
  feed.subscribe('run', () => heard.push('b'))
  unsubscribe()
  // A second call must not end somebody else's subscription.
  unsubscribe()
  feed.publish(change('run', 1))
  assert.equal(heard, ['b'])
})

test('an old end of a subscription does not touch a later one of the same run', () => {
  const feed = createFeed()
  const heard: string[] = []
  const unsubscribe = feed.subscribe('run', () => heard.push('first'))
  unsubscribe()
  feed.subscribe('run', () => heard.push('second'))
  unsubscribe()
  feed.publish(change('run', 1))
  assert.equal(heard, ['second'])
})

test('a listener may end its own subscription while it is called', () => {
  const feed = createFeed()
  const heard: string[] = []
  const unsubscribe = feed.subscribe('run', () => {
    heard.push('once')
    unsubscribe()
  })
  feed.subscribe('run', () => heard.push('always'))
  feed.publish(change('run', 1))
  feed.publish(change('run', 2))
  assert.equal(heard, ['once', 'always', 'always'])
})

test.run()
