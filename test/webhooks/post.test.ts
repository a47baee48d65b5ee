/** One try to send a webhook: what counts as an answer, which addresses are refused, and how names are looked up. */
import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLookup, createPost, type PostResult, type PostOptions } from '../../src/webhooks/post.ts'
import { startReceiver, type Respond } from '../harness/receiver.ts'

const message = { headers: { 'webhook-id': 'msg_1' }, body: '{"data":"ü"}' }

function post(url: string, options: Partial<PostOptions> = {}): Promise<PostResult> {
  return createPost({ allowPrivate: true, timeoutMs: 200, ...options })(url, message, new AbortController().signal)
}

/** Why there was no answer. */
async function reasonOf(respond: Respond): Promise<string> {
  await using receiver = await startReceiver(respond)
  const answer = await post(receiver.url)
  return answer.status === null ? answer.reason : `it answered ${answer.status}`
}

test('the body is sent whole, and the status of the answer counts', async () => {
  const statuses = [200, 204, 299, 301, 404, 410, 500]
  await using receiver = await startReceiver((response, _request, nth) => {
    response.writeHead(statuses[nth] ?? 0, { Location: '/elsewhere' }).end()
  })
  for (const status of statuses) assert.equal(await post(`${receiver.url}/hook?of=mine`), { status })
  assert.is(receiver.received.length, statuses.length, 'no redirect was followed')
  const [first] = receiver.received
  assert.equal([first?.path, first?.body, first?.headers['webhook-id']], ['/hook?of=mine', message.body, 'msg_1'])
  assert.is(first?.headers['content-length'], '13')
})

test('the user and the password of an address are sent as such', async () => {
  await using receiver = await startReceiver()
  await post(receiver.url.replace('//', '//me:s%3Acret@'))
  const [first] = receiver.received
  assert.is(first?.headers.authorization, `Basic ${Buffer.from('me:s:cret').toString('base64')}`)
})

test('an incomplete response counts as no response', async () => {
  assert.match(await reasonOf(() => {}), 'no response within 200 ms')
  const drips: Respond = (response) => {
    response.socket?.write('HTTP/1.1 200 OK\r\n')
    const timer = setInterval(() => response.socket?.write('X-Slow: drip\r\n'), 20)
    response.on('close', () => clearInterval(timer))
  }
  assert.match(await reasonOf(drips), 'no response within 200 ms')
  const dripsBody: Respond = (response) => {
    response.writeHead(200).write('a')
    const timer = setInterval(() => response.write('a'), 20)
    response.on('close', () => clearInterval(timer))
  }
  assert.match(await reasonOf(dripsBody), 'no response within 200 ms')
})

test('a response that breaks off counts as no response', async () => {
  assert.match(await reasonOf((response) => response.destroy()), /closed|hang up|reset/i)
  assert.match(
    await reasonOf((response) => {
      response.writeHead(200, { 'Content-Length': '100' }).write('half')
      setImmediate(() => response.destroy())
    }),
    'broke off',
  )
  assert.match(await reasonOf((response) => void response.socket?.end('no HTTP at all\r\n\r\n')), 'Parse Error')
})

test('interim responses are no answer, however many come', async () => {
  const interim = (count: number): Respond => {
    return (response) => {
      response.socket?.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'.repeat(count))
      response.writeHead(204).end()
    }
  }
  assert.is(await reasonOf(interim(3)), 'it answered 204')
  assert.match(await reasonOf(interim(1_000)), 'more than 100 interim responses')
})

test('of a large answer no more is read than is needed', async () => {
  await using receiver = await startReceiver((response) => {
    response.writeHead(200)
    const write = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(16_384)));
    }
    response.on('drain', write)
    write()
  })
  assert.equal(await post(receiver.url, { timeoutMs: 10_000 }), { status: 200 })
})

const refused = [
  'http://127.0.0.1',
  'http://127.1',
  'http://2130706433',
  'http://0x7f.1',
  'http://0177.0.0.1',
  'http://0.0.0.0',
  'http://10.0.0.1',
  'http://172.16.0.1',
  'http://192.168.0.1',
  'http://169.254.169.254/latest/meta-data',
  'http://100.64.0.1',
  'http://198.18.0.1',
  'http://224.0.0.1',
  'http://255.255.255.255',
  'http://[::]',
  'http://[::1]',
  'http://[::ffff:127.0.0.1]',
  'http://[::ffff:10.0.0.1]',
  'http://[::127.0.0.1]',
  'http://[64:ff9b::7f00:1]',
  'http://[2002:7f00:1::]',
  'http://[fe80::1]',
  'http://[fec0::1]',
  'http://[fc00::1]',
  'http://[4000::1]',
  'http://[100:0:0:1::1]',
  'http://localhost',
  'http://localhost.',
]

test('no connection is made to an address that is not public', async () => {
  await using receiver = await startReceiver()
  const port = new URL(receiver.url).port
  for (const address of refused) {
    for (const scheme of ['http', 'https']) {
      const url = new URL(address.replace('http', scheme))
      url.port = port
      const answer = await post(url.href, { allowPrivate: false })
      assert.match(answer.status === null ? answer.reason : 'an answer', /not allowed|ENOTFOUND|EAI_AGAIN/, url.href)
    }
  }
  assert.equal(receiver.received, [])
})

test('a name that leads to a private address is refused, also with a public one beside it', async () => {
  await using receiver = await startReceiver()
  const { port } = new URL(receiver.url)
  const lookup =
    (...addresses: readonly string[]): LookupFunction =>
    (_name, { all }, found) => {
      const all4 = addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
      if (all === true) found(null, all4)
      else found(null, addresses[0] ?? '', 4)
    }
  for (const addresses of [
    ['127.0.0.1'],
    ['93.184.216.34', '127.0.0.1'],
    ['10.0.0.1'],
    ...['::ffff:127.0.0.1', '::ffff:7f00:1', '::7f00:1', '::7f00:1%1', '::1', '::2', '::ffff:0:7f00:1'].map((one) => [
      one,
    ]),
    ...['64:ff9b::7f00:1', '64:ff9b:1::a', '100:0:0:1::1', '2002:7f00:1::', '4000::1', 'f000::1'].map((one) => [one]),
    ['2606:4700::1', '::7f00:1'],
    ...['127.1', '2130706433', '0177.0.0.1', '0x7f000001'].map((one) => [one]),
  ]) {
    const given = { lookup: lookup(...addresses) }
    const answer = await post(`http://hooks.example:${port}/`, { allowPrivate: false, ...given })
    assert.match(answer.status === null ? answer.reason : 'an answer', /not allowed|Invalid IP/, addresses.join())
  }
  assert.equal(receiver.received, [])
  assert.equal(await post(`http://hooks.example:${port}/`, { lookup: lookup('127.0.0.1') }), { status: 204 })
})

test('few names are looked up at once, and requests for the same one share the answer', async () => {
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
