/**
 * The entry of a thread of a child process that always listens, whatever the main thread does: it passes messages on,
 * writes `stop` to the shared memory, and says what the process has in memory and how far its job is. When the service
 * is gone, however that died, it ends the process, and what the process has started with it.
 */
import { Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { deserialize } from 'node:v8'
import { createControlBlock } from './control-block.ts'
import {
  createFrameReader,
  encodeFrame,
  receivers,
  relayFile,
  type LookReply,
  type RelayMessage,
} from './pool-messages.ts'

/** The child runs one job at a time. */
const slot = 0

const control = createControlBlock(workerData as SharedArrayBuffer)
const service = new Socket({ fd: relayFile, readable: true, writable: true })

const read = createFrameReader((receiver, body) => {
  // It comes from the service, which is of the same version.
  if (receiver === receivers.relay) return onMessage(deserialize(body) as RelayMessage)
  const bytes = Uint8Array.from(body)
  parentPort?.postMessage(bytes, [bytes.buffer])
})

function onMessage(message: RelayMessage): void {
  if (message.type === 'next') control.reset(slot)
  else if (message.type === 'stop') control.stop(slot)
  else {
    const reply: LookReply = {
      seq: message.seq,
      rssBytes: process.memoryUsage.rss(),
      progress: control.progress(slot),
    }
    service.write(encodeFrame(receivers.relay, reply))
  }
}

/** The process leads a group of its own. */
function endAll(): void {
  try {
    process.kill(-process.pid, 'SIGKILL')
  } finally {
    process.kill(process.pid, 'SIGKILL')
  }
}

service.on('data', read)
// Its end is the service's, and an error is followed by it.
service.on('error', () => {})
service.on('end', endAll)
service.on('close', endAll)
