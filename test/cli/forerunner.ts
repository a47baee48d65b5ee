/** The command as it is installed: a process of its own. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

export const program = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly output: string
  readonly errors: string
}

interface Surroundings {
  readonly url?: string
  readonly input?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly directory?: string
}

export async function forerunner(
  args: readonly string[],
  { url, input = '', environment, directory }: Surroundings = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: directory,
    // Nothing else of the tester's environment.
    env: { PATH: process.env['PATH'], ...(url !== undefined && { FORERUNNER_URL: url }), ...environment },
    timeout: 60_000,
  })
  child.stdin.end(input)
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [output, errors, code] = await Promise.all([text(child.stdout), text(child.stderr), ended])
  return { code, output, errors }
}

/** What was printed with --json. */
export const read = ({ output }: Ended): unknown => JSON.parse(output)
