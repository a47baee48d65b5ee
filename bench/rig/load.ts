/** The load generator as the benches see it: a process of its own, so that it never shares a thread with what it measures. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface LoadRequest {
  readonly url: string
  /** JSON text of each request's body. */
  readonly body: string
  readonly connections: number
  /** How long, or how many requests; each connection sends its next one when the one before is answered. */
  readonly until: { readonly seconds: number } | { readonly requests: number }
}

export interface LoadReport {
  /** Answers with status 200. */
  readonly ok: number
  /** Other statuses, connection errors and timeouts. */
  readonly failed: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Headers and body, on average. */
  readonly bytesPerAnswer: number
}

export interface Generator extends AsyncDisposable {
  /** One at a time. */
  run(request: LoadRequest): Promise<LoadReport>
}

export function startGenerator(): Generator {
  const child = fork(fileURLToPath(new URL('./generator.ts', import.meta.url)), { execArgv: [] })
  const exited = once(child, 'exit')
  const hasEnded = exited.then(() => Promise.reject<[unknown]>(new Error('the load generator has ended')))
  hasEnded.catch(() => {})

  return {
    async run(request) {
      const answered = once(child, 'message')
      child.send(request)
      const [report] = await Promise.race([answered, hasEnded])
      // Both ends are ours.
      return report as LoadReport
    },
    async [Symbol.asyncDispose]() {
      child.disconnect()
      await exited
    },
  }
}
