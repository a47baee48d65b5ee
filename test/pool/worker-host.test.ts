/** The flags that threads get, which of their messages count, and the error of a job whose thread has not replied. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readFromThread, unspentReply } from '../../src/execution/pool/pool-messages.ts'
import { describeNoReply, threadFlags } from '../../src/execution/pool/worker-host.ts'

test('threads get the flags that decide how modules are found, loaded and traced', () => {
  const flags = ['--import', 'tsx', '--require=./a.cjs', '-C', 'development', '--conditions=x', '--enable-source-maps']
  assert.equal(threadFlags(flags), flags)
  assert.equal(threadFlags(['--experimental-transform-types', '--no-experimental-require-module']), [
    '--experimental-transform-types',
    '--no-experimental-require-module',
  ])
})

test('threads get no other flags', () => {
  const others = [
    '--max-semi-space-size=8',
    '--inspect',
    '--watch',
    '--env-file=.env',
    '--experimental-sea-config',
    '--title=x',
  ]
  assert.equal(threadFlags(['--import', 'a', ...others, '--import', 'b']), ['--import', 'a', '--import', 'b'])
})

test('the error of a thread that could not reply differs from that of a thread that has ended', () => {
  const error = Object.assign(new Error('no reply'), { stack: 'Error: no reply' })
  const message = 'the thread could not reply: no reply'
  assert.equal(describeNoReply(error, true), { code: 'crashed', name: 'Error', message, stack: error.stack })
  // The message that Piscina has for a thread that exited may come from a living one, too.
  const exited = new Error('worker exited with code: 7')
  assert.is(describeNoReply(exited, true).message, 'the thread could not reply: worker exited with code: 7')
  assert.equal(describeNoReply(exited, false), {
    code: 'crashed',
    message: 'the thread exited with code 7',
    exitCode: 7,
  })
  const full = Object.assign(new Error('heap limit'), { code: 'ERR_WORKER_OUT_OF_MEMORY' })
  assert.equal(describeNoReply(full, false), { code: 'out_of_memory', message: 'the thread reached its heap limit' })
  assert.is(describeNoReply(error, false).message, 'the thread died of an uncaught error: no reply')
})

test('a reply counts only in its whole form, because a task can post to the same port', () => {
  const whole = { type: 'replies', replies: [unspentReply(1)] }
  assert.is(readFromThread(whole), whole)
  const parts = [{ id: '1' }, { outcome: null }, { outcome: {} }, { taint: undefined }, { taint: {} }, { tookMs: NaN }]
  for (const part of [...parts, { tookMs: undefined }, { tookMs: -1 }]) {
    const forged = { type: 'replies', replies: [unspentReply(1), { ...unspentReply(2), ...part }] }
    assert.is(readFromThread(forged), null, JSON.stringify(part))
  }
})

test.run()
