/** Tells from what Piscina rejects with how a thread died. Only its message says so (piscina 5.3). */
import type { JobError } from '../../domain/job.ts'
import { serializeError } from '../../domain/serialize-error.ts'

const exitPattern = /^worker exited with code: (?<code>-?\d+)$/
const outOfMemoryCode = 'ERR_WORKER_OUT_OF_MEMORY'

export function describeDeath(thrown: unknown): JobError {
  const { message, ...rest } = serializeError(thrown)
  const code = exitPattern.exec(message)?.groups?.['code']
  if (code !== undefined) {
    return { code: 'crashed', message: `the thread exited with code ${code}`, exitCode: Number(code) }
  }
  if (rest.taskCode === outOfMemoryCode) return { code: 'out_of_memory', message: 'the thread reached its heap limit' }
  return { ...rest, code: 'crashed', message: `the thread died of an uncaught error: ${message}` }
}
