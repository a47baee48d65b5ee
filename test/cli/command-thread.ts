/** Runs commands one after another, as the program does each in a process of its own, and posts how each has ended. */
import { parentPort } from 'node:worker_threads'
import type { Ended } from './forerunner.ts'

export interface Asked {
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
}

const built = new URL('../../dist/src/cli/program.js', import.meta.url).href
const { runCommand } = (await import(built)) as typeof import('../../src/cli/program.ts')
let output = ''
let errors = ''

// Not by way of the parent, which would get it in pieces, and some of it after the message.
process.stdout.write = (text: string | Uint8Array): boolean => ((output += String(text)), true)
process.stderr.write = (text: string | Uint8Array): boolean => ((errors += String(text)), true)
// Each command listens for its end.
process.stdout.setMaxListeners(0)

async function run({ args, environment }: Asked): Promise<Ended> {
  output = ''
  errors = ''
  const code = await runCommand(args, environment)
  return { code, output, errors }
}

parentPort?.on('message', (asked: Asked) => void run(asked).then((ended) => parentPort?.postMessage(ended)))
