/**
 * The entry of a child process of the pool. Its main thread runs tasks, so that native code which works on no other
 * thread works here; another thread, the relay, listens to the service meanwhile.
 */
import { writeSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import { Worker } from 'node:worker_threads'
import { fenceService } from '../../tasks/process-fence.ts'
import { allocateControlBlock, createControlBlock } from './control-block.ts'
import { createJobRunner } from './job-runner.ts'
import { isInTask } from '../running-task.ts'
import { headBytes, receivers, tasksFile, type FromChild, type TasksMessage } from './pool-messages.ts'

// Taken before any task runs, for a job can change what the next one depends on.
const write = writeSync
const encode = serialize
const decode = deserialize
const measure = process.memoryUsage.rss
const head = Buffer.alloc(headBytes)
const byteBits = 8
const byteMask = 0xff

/** Returns when the operating system has the message: a crash right after does not lose it. */
function post(message: FromChild): void {
  const body = encode(message)
  let bytes = body.length
  for (let index = 0; index < headBytes - 1; index += 1) {
    head[index] = bytes & byteMask
    bytes >>>= byteBits
  }
  head[headBytes - 1] = receivers.tasks
  try {
    writeAll(head)
    writeAll(body)
  } catch {
    // The service is gone, and the relay ends this process.
  }
}

function writeAll(bytes: Buffer): void {
  for (let written = 0; written < bytes.length;) written += write(tasksFile, bytes, written)
}

// The service decides when it ends. The system and supervisors may signal it together with the service.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
fenceService(isInTask)
const buffer = allocateControlBlock(1)
const control = createControlBlock(buffer)
const onMessage = createJobRunner({
  control: {
    ...control,
    run(slot) {
      control.run(slot)
      post({ type: 'begun', startBytes: measure() })
    },
    setExit: (_slot, code) => post({ type: 'exit', code }),
  },
  isSequential: true,
  post,
})

async function answer({ seq, message }: TasksMessage): Promise<void> {
  post({ type: 'reply', seq, reply: await onMessage(message) })
}

const isSource = import.meta.url.endsWith('.ts')
const relay = new Worker(new URL(isSource ? './process-relay.ts' : './process-relay.js', import.meta.url), {
  workerData: buffer,
  // The relay does not need what the process loads for tasks.
  ...(!isSource && { execArgv: [] }),
})
// They come from the service, which is of the same version.
relay.on('message', (bytes: Uint8Array) => void answer(decode(bytes) as TasksMessage))
relay.once('online', () => post({ type: 'hello' }))
