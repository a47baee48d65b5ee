/** A contender as a child process: started, asked for its totals, and ended with the block that holds it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import type { Contender } from '../contenders/contenders.ts'
import type { LoopDelays } from './loop-monitor.ts'

const statsSchema = z.object({
  jobs: z.object({ failed: z.number() }).optional(),
  backlog: z.number(),
  conservation: z.object({ accepted: z.number(), final: z.number(), live: z.number(), lost: z.number() }),
})
const readySchema = z.object({ url: z.string() })

export type Stats = z.infer<typeof statsSchema>

export interface Server extends AsyncDisposable {
  readonly pid: number
  readonly url: string
  /** From the start of its process until it printed its address. */
  readonly startedInMs: number
  /** GET /stats, which every contender has. */
  stats(): Promise<Stats>
  /** Waits until all accepted jobs are finished, except this number of jobs that cannot run. */
  drained(leftOver?: number): Promise<Stats>
  /** Whether `loop-monitor.ts` is loaded; without it there are no delays. */
  readonly watchesLoop: boolean
  /** Resets the delays of its event loop. */
  resetLoopDelays(): Promise<void>
  loopDelays(): Promise<LoopDelays>
  /** Ends it as a power cut would. */
  kill(): Promise<void>
}

export interface StartOptions {
  /** Whether to load `loop-monitor.ts`; only for Node. */
  readonly watchesLoop?: boolean
  /** Default: any free port. */
  readonly port?: number
}

const startLimitMs = 60_000
const drainLimitMs = 300_000
const pollMs = 10
const monitor = new URL('./loop-monitor.ts', import.meta.url).href

/** Resolves when the contender has printed its address: a JSON line with the member `url`. */
export async function startServer(contender: Contender, options: StartOptions = {}): Promise<Server> {
  const { name, entry, flags = [], program = process.execPath, env } = contender
  const { watchesLoop = false, port = 0 } = options
  const startedAt = performance.now()
  const child = spawn(program, [...flags, ...(watchesLoop ? ['--import', monitor] : []), entry], {
    // Without the caller's settings: every contender runs with its own defaults.
    env: { PATH: process.env['PATH'] ?? '', NODE_ENV: 'production', PORT: String(port), ...env },
    stdio: ['ignore', 'pipe', 'inherit', ...(watchesLoop ? (['ipc'] as const) : [])],
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  })
  const exited = once(child, 'exit')
  const killWithThis = (): void => void child.kill('SIGKILL')
  process.once('exit', killWithThis)
  void exited.then(() => process.off('exit', killWithThis))
  const stdout = child.stdout ?? fail(`${name} has no output`)
  const url = await Promise.race([
    urlFrom(createInterface({ input: stdout })),
    exited.then(() => fail(`${name} ended before it was ready`)),
    sleep(startLimitMs, undefined, { ref: false }).then(() => fail(`${name} was not ready in ${startLimitMs} ms`)),
  ]).catch((error: unknown) => {
    child.kill('SIGKILL')
    throw error
  })
  const startedInMs = performance.now() - startedAt

  async function stats(): Promise<Stats> {
    const response = await fetch(`${url}/stats`)
    if (!response.ok) fail(`${name} answers ${response.status} to GET /stats`)
    return statsSchema.parse(await response.json())
  }

  async function askMonitor(word: 'reset' | 'read'): Promise<LoopDelays> {
    const told = once(child, 'message')
    child.send(word)
    const [delays] = await told
    // Child and parent have the same version.
    return delays as LoopDelays
  }

  return {
    pid: child.pid ?? fail(`${name} has no process`),
    url,
    startedInMs,
    watchesLoop,
    stats,
    async drained(leftOver = 0) {
      const deadline = performance.now() + drainLimitMs
      for (;;) {
        const now = await stats()
        if (now.backlog <= leftOver && now.conservation.live <= leftOver) return now
        if (performance.now() > deadline) fail(`${name} still has ${now.backlog} jobs to do after ${drainLimitMs} ms`)
        await sleep(pollMs)
      }
    },
    async resetLoopDelays() {
      await askMonitor('reset')
    },
    loopDelays: () => askMonitor('read'),
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

async function urlFrom(lines: AsyncIterable<string>): Promise<string> {
  // Not `for await`: leaving the loop would close the stream, and the child must be able to continue to write.
  const iterator = lines[Symbol.asyncIterator]()
  for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
    const parsed = readySchema.safeParse(jsonOf(next.value))
    if (!parsed.success) continue
    void drain(iterator)
    return parsed.data.url
  }
  return fail('no address was told')
}

async function drain(lines: AsyncIterator<string>): Promise<void> {
  while ((await lines.next()).done !== true);
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

function fail(message: string): never {
  throw new Error(message)
}
