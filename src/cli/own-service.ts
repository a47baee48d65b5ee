/** A service in a process of its own, with a database of its own on the disk. Both end with the command. */
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Environment } from './context.ts'

export interface OwnService extends AsyncDisposable {
  readonly url: string
}

export const idleTask = 'noop'
const idleModule = "export default { kind: 'io', run: (input) => input }\n"

/** @param usesOwnTasks whether it has `idleTask` in place of those in TASKS_DIR */
export async function startOwnService(environment: Environment, usesOwnTasks: boolean): Promise<OwnService> {
  const directory = await mkdtemp(join(tmpdir(), 'forerunner-bench-'))
  if (usesOwnTasks) {
    await mkdir(join(directory, 'tasks'))
    await writeFile(join(directory, 'tasks', `${idleTask}.mjs`), idleModule)
  }
  const own = { HOST: '127.0.0.1', PORT: '0', API_KEYS: '', API_KEYS_READ: '', LOG_LEVEL: 'info' }
  const child = spawn(process.execPath, [fileURLToPath(new URL('../cli.js', import.meta.url)), 'serve'], {
    env: {
      ...environment,
      ...own,
      DATABASE_URL: `sqlite:${join(directory, 'bench.db')}`,
      ...(usesOwnTasks && { TASKS_DIR: join(directory, 'tasks') }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  function end(): void {
    child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
  process.once('exit', end)
  const dispose = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
    process.off('exit', end)
    end()
  }

  const { promise: ready, resolve, reject } = Promise.withResolvers<string>()
  const { stdout: log } = child
  let last = ''
  // Read to its end: a service whose log nobody takes would wait for that.
  createInterface({ input: log }).on('line', (line) => {
    const { msg, url } = entryOf(line)
    if (msg?.startsWith('ready at ') === true && url !== undefined) resolve(url)
    last = msg ?? last
  })
  void ended.then(() => reject(new Error(`the service did not start: ${last}`)))
  try {
    return { url: await ready, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}

/** A task may print what it likes. */
function entryOf(line: string): { readonly msg?: string; readonly url?: string } {
  try {
    return Object(JSON.parse(line)) as { readonly msg?: string; readonly url?: string }
  } catch {
    return {}
  }
}
