/** The entry of every worker thread of the pool. */
import { parentPort, workerData } from 'node:worker_threads'
import { fenceProcess } from '../../tasks/process-fence.ts'
import { isInTask } from '../running-task.ts'
import { createControlBlock } from './control-block.ts'
import type { ThreadData, ToThread } from './pool-messages.ts'
import { createJobRunner } from './job-runner.ts'

// Set by the pool, which is of the same version.
const { control, isSequential } = workerData as ThreadData
const { assign } = Object

// Every message costs the main thread time and memory: what a task sends it of its own accord goes nowhere, and it
// cannot close what its log lines go through.
const send = parentPort?.postMessage.bind(parentPort)
let isSealed = false
function sealPort(): void {
  if (parentPort !== null && !isSealed) assign(parentPort, { postMessage() {}, close() {} })
  isSealed = true
}

// What a module does while it is loaded it has done on the main thread too.
fenceProcess(isInTask)
const run = createJobRunner({ control: createControlBlock(control), isSequential, post: (message) => send?.(message) })

export default function onMessage(message: ToThread): ReturnType<typeof run> {
  // Piscina has said by then all that it says there.
  sealPort()
  return run(message)
}
