/** The load generator as the benches see it: a separate process, so it shares no thread with the measured server. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { OpenLoopReport, OpenLoopRequest } from '../../src/cli/open-loop.ts'

/** Each connection sends its next request after the response to the previous one. */
export interface LoadRequest {
  readonly url: string
  /** JSON text of each request's body. */
  readonly body: string
  readonly connections: number
  readonly seconds: number
}

export interface LoadReport {
  /** Responses with status 200. */
  readonly ok: number
  /** Other statuses, connection errors and timeouts. */
  readonly failed: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Headers and body, on average. */
  readonly bytesPerAnswer: number
  /** The share of a core that the generator used, from 0 to 1; near 1 it measures itself. */
  readonly generatorShare: number
}

export type GeneratorMessage =
  | { readonly type: 'closed'; readonly request: LoadRequest }
  | { readonly type: 'open'; readonly request: OpenLoopRequest }

/** Takes one order at a time. */
export interface Generator extends AsyncDisposable {
  run(request: LoadRequest): Promise<LoadReport>
  /** Requests at a fixed rate, regardless of the responses. */
  offer(request: OpenLoopRequest): Promise<OpenLoopReport>
}

/** @param prefix command that starts it, such as `taskset` */
export function startGenerator(prefix: readonly string[]): Generator {
  const entry = fileURLToPath(new URL('./generator.ts', import.meta.url))
  const [program, ...args] = [...prefix, process.execPath, entry] as const
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const exited = once(child, 'exit')
  const hasEnded = exited.then(() => Promise.reject<[unknown]>(new Error('the load generator has ended')))
  hasEnded.catch(() => {})

  async function ask(message: GeneratorMessage): Promise<unknown> {
    const answered = once(child, 'message')
    child.send(message)
    const [report] = await Promise.race([answered, hasEnded])
    return report
  }

  return {
    // Child and parent have the same version.
    run: async (request) => (await ask({ type: 'closed', request })) as LoadReport,
    offer: async (request) => (await ask({ type: 'open', request })) as OpenLoopReport,
    async [Symbol.asyncDispose]() {
      if (child.connected) child.disconnect()
      await exited
    },
  }
}
