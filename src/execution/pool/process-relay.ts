/**
 * The entry of the relay, a thread of a child process that always listens to the service. It passes messages to the main
 * thread, writes `stop` to shared memory, and measures memory and progress. When the service has ended, however it died, the
 * relay kills the process and everything that the process has started.
 */
import { Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { deserialize } from 'node:v8'
import { createControlBlock } from './control-block.ts'
import {
  createFrameReader,
  encodeFrame,
  receivers,
  relayDescriptor,
  type Measurement,
  type RelayMessage,
} from './pool-messages.ts'

/** The child runs one job at a time. */
const slot = 0

const control = createControlBlock(workerData as SharedArrayBuffer)
const service = new Socket({ fd: relayDescriptor, readable: true, writable: true })

const read = createFrameReader((receiver, body) => {
  // Trusted without a check: the service is of the same version.
  if (receiver === receivers.relay) return onMessage(deserialize(body) as RelayMessage)
  const bytes = Uint8Array.from(body)
  parentPort?.postMessage(bytes, [bytes.buffer])
})

function onMessage(message: RelayMessage): void {
  if (message.type === 'next') control.reset(slot)
  else if (message.type === 'stop') control.stop(slot)
  else {
    const { seq } = message
    const measured: Measurement = { seq, rssBytes: process.memoryUsage.rss(), progress: control.progress(slot) }
    service.write(encodeFrame(receivers.relay, measured))
  }
}

/** The process leads a process group of its own. */
function killGroup(): void {
  try {
    process.kill(-process.pid, 'SIGKILL')
  } finally {
    process.kill(process.pid, 'SIGKILL')
  }
}

service.on('data', read)
// `close` follows an error.
service.on('error', () => {})
service.on('end', killGroup)
service.on('close', killGroup)
