/** One attempt of a task, without a service. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { defineTask } from 'forerunner'
import { runTask } from 'forerunner/testing'
import { rejects } from '../harness/rejects.ts'

const greet = defineTask({
  input: z.object({ name: z.string(), at: z.coerce.date().default(new Date(0)) }),
  run({ name, at }, { progress, log, attempt }) {
    progress(0.5, 'half')
    log.info('greeting', { name })
    return { text: `Hello, ${name}`, at, attempt, nothing: undefined }
  },
})

test('returns the result as callers get it, with progress and log lines', async () => {
  const { result, progress, log } = await runTask(greet, { name: 'Ada' }, { attempt: 2 })
  const at: string = result.at
  assert.equal([result.text, at, result.attempt], ['Hello, Ada', '1970-01-01T00:00:00.000Z', 2])
  assert.equal(progress, [{ fraction: 0.5, message: 'half' }])
  assert.equal([log[0]?.level, log[0]?.message, log[0]?.fields.fields], ['info', 'greeting', { name: 'Ada' }])
})

test('says how many lines the service would drop', async () => {
  const noisy = defineTask({
    run(_input, { log }) {
      for (let line = 0; line < 4_000; line += 1) log.info('again')
    },
  })
  const { log } = await runTask(noisy)
  assert.match(log.at(-1)?.message ?? '', /^\d+ lines of a job were dropped/)
})

test('rejects with the task’s error', async () => {
  const own = new Error('of the task')
  const throws = defineTask({
    run() {
      throw own
    },
  })
  const thrown = await runTask(throws).catch((error: unknown) => error)
  assert.is(thrown, own)
})

test('refuses an input that the service would refuse, and a result that is no JSON', async () => {
  // @ts-expect-error the name is missing
  const { message } = await rejects(runTask(greet, {}), 'TypeError')
  assert.match(message, 'the input is refused: /name: ')
  const endless: unknown[] = []
  endless.push(endless)
  await rejects(runTask(defineTask({ run: () => endless })), 'TypeError')
  await rejects(runTask({ run: 1 } as never), 'BootError')
})

test('has steps, of which some may have been stored before', async () => {
  const pays = defineTask({
    async run(_input, { step }) {
      const payment = await step('charge', () => ({ id: 7, at: new Date(0) }))
      return step('mail', () => `sent for ${payment.id}`)
    },
  })
  const first = await runTask(pays)
  assert.is(first.result, 'sent for 7')
  assert.equal(first.steps, { charge: { id: 7, at: '1970-01-01T00:00:00.000Z' }, mail: 'sent for 7' })
  const { result, steps } = await runTask(pays, undefined, { attempt: 2, steps: { charge: { id: 8 } } })
  assert.equal([result, steps], ['sent for 8', { charge: { id: 8 }, mail: 'sent for 8' }])
})

test('passes a signal on', async () => {
  const waits = defineTask({ run: (_input, { signal }) => signal.throwIfAborted() })
  await rejects(runTask(waits, undefined, { signal: AbortSignal.abort() }), 'AbortError')
  const { result } = await runTask({ run: (input: unknown) => input }, { plain: 'object' })
  assert.equal(result, { plain: 'object' })
})

test.run()
