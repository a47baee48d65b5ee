/** The three tasks of the original recipe: they share a thread and stop at once when told to. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import first from '../../workers/first.ts'
import second from '../../workers/second.ts'
import third from '../../workers/third.ts'
import { contextWith } from './perform.ts'

for (const [name, task] of Object.entries({ first, second, third })) {
  test(`${name} is of kind io and takes any input`, () => {
    assert.is(task.kind, 'io')
    assert.is(task.input, undefined)
  })

  test(`${name} does not wait when its signal is already aborted`, async () => {
    const waiting = Promise.resolve(task.run(undefined, contextWith({ signal: AbortSignal.abort() })))
    const error = await waiting.catch((reason: unknown) => reason)
    assert.instance(error, Error)
    assert.is(error instanceof Error && error.name, 'AbortError')
  })
}

test.run()
