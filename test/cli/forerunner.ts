/** The command as it is installed, in a process of its own; and, in a fifth of the time, in a thread of the tester's. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { Asked } from './command-thread.ts'

export const program = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly output: string
  readonly errors: string
}

interface Surroundings {
  readonly url?: string
  readonly environment?: Readonly<Record<string, string>>
}

interface ProcessSurroundings extends Surroundings {
  readonly input?: string
}

/** Nothing else of the tester's environment. */
function environmentOf({ url, environment }: Surroundings): Asked['environment'] {
  return { PATH: process.env['PATH'], ...(url !== undefined && { FORERUNNER_URL: url }), ...environment }
}

export async function forerunner(
  args: readonly string[],
  { input = '', ...rest }: ProcessSurroundings = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], {
    env: environmentOf(rest),
    timeout: 60_000,
  })
  child.stdin.end(input)
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { code, output, errors }
}

/** Threads that run no command now. */
const idle: Worker[] = []

/** The same for a command that reads nothing from its standard input, and ends without the end of its process. */
export async function command(args: readonly string[], surroundings: Surroundings = {}): Promise<Ended> {
  const thread = idle.pop() ?? startThread()
  thread.ref()
  const asked: Asked = { args, environment: environmentOf(surroundings) }
  thread.postMessage(asked)
  const over = new AbortController()
  const either = ['message', 'exit'].map((event) => once(thread, event, over))
  // From our own script, or the code with which the thread has ended.
  const [ended] = (await Promise.race(either)) as [Ended | number]
  over.abort()
  if (typeof ended === 'number') throw new Error(`${args.join(' ')} has ended the thread with ${ended}`)
  thread.unref()
  idle.push(thread)
  return ended
}

function startThread(): Worker {
  const url = new URL('./command-thread.ts', import.meta.url)
  // What the command finds there without being given it.
  return new Worker(url, { env: { PATH: process.env['PATH'] }, execArgv: [] })
}

/** What was printed with --json. */
export const read = ({ output }: Ended): unknown => JSON.parse(output)
