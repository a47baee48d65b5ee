/** Names of receivers are looked up few at once, and each once for all who ask for it meanwhile. */
import type { LookupAddress } from 'node:dns'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLookup } from '../../src/webhooks/post.ts'

test('few names are looked up at once, and those who ask for the same one share the answer', async () => {
  const asked: string[] = []
  const answers = new Map<string, PromiseWithResolvers<readonly LookupAddress[]>>()
  const lookup = createLookup((name) => {
    asked.push(name)
    const answer = Promise.withResolvers<readonly LookupAddress[]>()
    answers.set(name, answer)
    return answer.promise
  })
  const ask = (name: string, all: boolean): Promise<unknown> =>
    new Promise((resolve) => {
      lookup(name, { all }, (error, found, family) => resolve(error === null ? [found, family] : error.message))
    })
  const [one, same, two, three] = [ask('one', true), ask('one', false), ask('two', true), ask('three', false)]
  assert.equal(asked, ['one', 'two'])
  const addresses = [
    { address: '192.0.2.1', family: 4 },
    { address: '192.0.2.2', family: 4 },
  ]
  answers.get('one')?.resolve(addresses)
  assert.equal(await one, [addresses, undefined])
  assert.equal(await same, ['192.0.2.1', 4])
  assert.equal(asked, ['one', 'two', 'three'])
  answers.get('two')?.reject(new Error('nobody knows it'))
  answers.get('three')?.resolve(addresses)
  assert.is(await two, 'nobody knows it')
  assert.equal(await three, ['192.0.2.1', 4])
  void ask('two', true)
  assert.equal(asked, ['one', 'two', 'three', 'two'])
})

test.run()
