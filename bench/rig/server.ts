/** A contender as a child process: started, asked for its totals, and ended with the block that holds it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Contender } from '../contenders/contenders.ts'

const statsSchema = z.object({
  jobs: z.object({ failed: z.number() }).optional(),
  backlog: z.number(),
  threads: z.array(z.object({ kind: z.string(), running: z.number() })).default([]),
  eventLoopDelayMs: z.object({ p50: z.number(), p99: z.number(), max: z.number() }).optional(),
  conservation: z.object({ accepted: z.number(), final: z.number(), live: z.number(), lost: z.number() }),
})
const readySchema = z.object({ url: z.string() })

export type Stats = z.infer<typeof statsSchema>

export interface Server extends AsyncDisposable {
  readonly pid: number
  readonly url: string
  /** GET /stats, which every contender has. */
  stats(): Promise<Stats>
  /** Waits until nothing accepted is left to do. */
  drained(): Promise<Stats>
}

const startLimitMs = 20_000
const drainLimitMs = 300_000
const pollMs = 10

/** Resolves when the contender has told its address, which is a JSON line with the member `url`. */
export async function startServer({ name, entry, env }: Contender): Promise<Server> {
  const child = spawn(process.execPath, [entry], {
    // Nothing of the caller's settings: every contender is measured with its own defaults.
    env: { PATH: process.env['PATH'] ?? '', NODE_ENV: 'production', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const url = await Promise.race([
    urlFrom(createInterface({ input: child.stdout })),
    exited.then(() => fail(`${name} ended before it was ready`)),
    sleep(startLimitMs, undefined, { ref: false }).then(() => fail(`${name} was not ready in ${startLimitMs} ms`)),
  ]).catch((error: unknown) => {
    child.kill('SIGKILL')
    throw error
  })

  async function stats(): Promise<Stats> {
    const response = await fetch(`${url}/stats`)
    if (!response.ok) fail(`${name} answers ${response.status} to GET /stats`)
    return statsSchema.parse(await response.json())
  }

  return {
    pid: child.pid ?? fail(`${name} has no process`),
    url,
    stats,
    async drained() {
      const deadline = performance.now() + drainLimitMs
      for (;;) {
        const now = await stats()
        if (now.backlog === 0 && now.conservation.live === 0) return now
        if (performance.now() > deadline) fail(`${name} still has ${now.backlog} jobs to do after ${drainLimitMs} ms`)
        await sleep(pollMs)
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

async function urlFrom(lines: AsyncIterable<string>): Promise<string> {
  // Not `for await`: leaving the loop would close the stream, and the child must be able to go on writing.
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
