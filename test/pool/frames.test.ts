/** Frames between the pool and a child process, however their bytes arrive. */
import { deserialize } from 'node:v8'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createFrameReader, encodeFrame, headBytes } from '../../src/execution/pool/pool-messages.ts'

const sent = [
  [1, 'first'],
  [0, { nested: ['€', null] }],
  [1, 'last'],
] as const
const bytes = Buffer.concat(sent.map(([receiver, value]) => encodeFrame(receiver, value)))

/** What is read when the bytes arrive in chunks of this length. */
function readIn(chunkBytes: number): unknown[] {
  const frames: unknown[] = []
  const read = createFrameReader((receiver, body) => frames.push([receiver, deserialize(body)]))
  for (let start = 0; start < bytes.length; start += chunkBytes) read(bytes.subarray(start, start + chunkBytes))
  return frames
}

test('frames are read from chunks of any length', () => {
  for (let chunkBytes = 1; chunkBytes <= bytes.length; chunkBytes += 1) assert.equal(readIn(chunkBytes), sent)
})

test('a head that claims too many bytes is refused as soon as it is complete', () => {
  const read = createFrameReader(() => assert.unreachable())
  const head = Buffer.alloc(headBytes, 0xff)
  read(head.subarray(0, headBytes - 1))
  assert.throws(() => read(head.subarray(headBytes - 1)), 'a message of 4294967295 bytes')
})

test.run()
