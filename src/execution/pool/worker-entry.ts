/** The entry of every worker thread of the pool. */
import { parentPort, workerData } from 'node:worker_threads'
import { fenceProcess } from '../../tasks/process-fence.ts'
import { isInTask } from '../running-task.ts'
import { createControlBlock } from './control-block.ts'
import type { ThreadData, ToThread } from './pool-messages.ts'
import { createJobRunner } from './job-runner.ts'

// Trusted without a check: the pool is of the same version.
const { control, isSequential } = workerData as ThreadData
const { assign } = Object

// Every message costs the main thread time and memory. So a task's own messages are dropped, and a task cannot close the
// port of the log lines.
const send = parentPort?.postMessage.bind(parentPort)
let isSealed = false
function sealPort(): void {
  if (parentPort !== null && !isSealed) assign(parentPort, { postMessage() {}, close() {} })
  isSealed = true
}

// The main thread has loaded the same modules, so what they do while they are loaded need not be fenced here.
fenceProcess(isInTask)
const run = createJobRunner({ control: createControlBlock(control), isSequential, post: (message) => send?.(message) })

export default function onMessage(message: ToThread): ReturnType<typeof run> {
  // Not earlier: Piscina reports through the same port that the thread is ready.
  sealPort()
  return run(message)
}
