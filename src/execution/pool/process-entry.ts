/**
 * The entry of a child process of the pool. Its main thread runs tasks, because some native code works on no other thread.
 * A second thread, the relay, listens to the service meanwhile.
 */
import { writeSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import { Worker } from 'node:worker_threads'
import { fenceService } from '../../tasks/process-fence.ts'
import { allocateControlBlock, createControlBlock } from './control-block.ts'
import { createJobRunner } from './job-runner.ts'
import { isInTask } from '../running-task.ts'
import { headBytes, mainDescriptor, receivers, type FromChild, type MainMessage } from './pool-messages.ts'

// Taken before any task runs, because a job can change what the next one depends on.
const write = writeSync
const encode = serialize
const decode = deserialize
const measure = process.memoryUsage.rss
const head = Buffer.alloc(headBytes)
const byteBits = 8
const byteMask = 0xff

/** Returns when the operating system has the message, so that a crash right after does not lose it. */
function post(message: FromChild): void {
  const body = encode(message)
  let bytes = body.length
  for (let index = 0; index < headBytes - 1; index += 1) {
    head[index] = bytes & byteMask
    bytes >>>= byteBits
  }
  head[headBytes - 1] = receivers.main
  try {
    writeAll(head)
    writeAll(body)
  } catch {
    // The service has ended, and the relay ends this process.
  }
}

function writeAll(bytes: Buffer): void {
  for (let written = 0; written < bytes.length;) written += write(mainDescriptor, bytes, written)
}

// The service decides when this process ends; a terminal or a supervisor may signal both.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
fenceService(isInTask)
const buffer = allocateControlBlock(1)
const control = createControlBlock(buffer)
const onMessage = createJobRunner({
  control: {
    ...control,
    setRunning(slot) {
      control.setRunning(slot)
      post({ type: 'begun', startBytes: measure() })
    },
    noteExit: (_slot, by) => post({ type: 'exit', by }),
  },
  isSequential: true,
  post,
})

async function reply({ seq, message }: MainMessage): Promise<void> {
  post({ type: 'reply', seq, reply: await onMessage(message) })
}

const isSource = import.meta.url.endsWith('.ts')
const relay = new Worker(new URL(isSource ? './process-relay.ts' : './process-relay.js', import.meta.url), {
  workerData: buffer,
  // The relay needs none of the modules that the flags load for tasks.
  ...(!isSource && { execArgv: [] }),
})
// Trusted without a check: the service is of the same version.
relay.on('message', (bytes: Uint8Array) => void reply(decode(bytes) as MainMessage))
relay.once('online', () => post({ type: 'hello' }))
