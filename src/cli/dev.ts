/** forerunner dev: runs the service, and restarts it whenever a file of its tasks changes. Its running jobs are handed back. */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, watch } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { readConfig } from '../config.ts'
import { type AddCommand, type Context, type ExitCode, exitCodes } from './context.ts'
import { clean, complain, isTerminal, print, styled } from './terminal.ts'

/** An editor writes a file in several steps. */
const quietMs = 150
/** Default while developing: somebody waits for the restart, and the stopped jobs run again. */
const graceMs = '500'

export const addDev: AddCommand = (program, act) => {
  program
    .command('dev')
    .description('run the service in this process, and restart it when a file in TASKS_DIR changes')
    .action(act(({ environment }: Context) => supervise(environment)))
}

async function supervise(environment: Context['environment']): Promise<ExitCode> {
  const { tasksDir } = readConfig(environment)
  if (!existsSync(tasksDir)) throw new Error(`there is no directory ${tasksDir}: TASKS_DIR names it`)
  let child: ChildProcess | undefined
  let isLeaving = false
  /** Whether a file has changed since the child was started. */
  let isChanged = false
  /** Ends the wait for a change, after the service has failed. */
  let stopWaiting = (): void => {}

  function stopChild(signal: NodeJS.Signals): void {
    child?.kill(signal)
    stopWaiting()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      isLeaving = true
      // A terminal also sends the signal to the child, which ignores a second one that follows at once.
      stopChild(signal)
    })
  }
  let timer: NodeJS.Timeout | undefined
  const watcher = watch(tasksDir, { recursive: true }, () => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      isChanged = true
      stopChild('SIGTERM')
    }, quietMs)
  })
  watcher.on('error', (error) => complain(`changes are not seen any more: ${error.message}`))

  try {
    for (;;) {
      isChanged = false
      child = startService(environment)
      const code = await new Promise<number | null>((resolve) => child?.once('close', resolve))
      child = undefined
      if (isLeaving) return code === 0 ? exitCodes.done : exitCodes.failed
      if (isChanged) continue
      // The service has logged why it failed; the next change may mend it.
      complain('waiting for a change of the tasks')
      await new Promise<void>((resolve) => (stopWaiting = resolve))
      if (isLeaving) return exitCodes.done
    }
  } finally {
    clearTimeout(timer)
    watcher.close()
  }
}

/** On a terminal, the lines of its log are printed as text. */
function startService(environment: Context['environment']): ChildProcess {
  const cli = fileURLToPath(new URL('../cli.js', import.meta.url))
  const child = spawn(process.execPath, [...process.execArgv, cli, 'serve'], {
    env: { SHUTDOWN_GRACE_MS: graceMs, ...environment },
    stdio: ['inherit', isTerminal() ? 'pipe' : 'inherit', 'inherit'],
  })
  const { stdout: log } = child
  if (log !== null) createInterface({ input: log }).on('line', (line) => print(readableLine(line)))
  return child
}

const levelStyles = new Map<string, 'yellow' | 'red'>([
  ['warn', 'yellow'],
  ['error', 'red'],
  ['fatal', 'red'],
])

/** A line of the log as text. A line that a task has printed is returned unchanged. */
export function readableLine(line: string): string {
  const entry = entryOf(line)
  if (entry === null) return line
  const { level, time, msg, ...fields } = entry
  const clock = new Date(time).toTimeString().slice(0, 8)
  const style = levelStyles.get(level)
  const text = style === undefined ? clean(msg) : styled(style, `${level}: ${clean(msg)}`)
  const rest = Object.entries(fields)
    .filter(([, value]) => !Array.isArray(value) || value.length > 0)
    .map(([name, value]) => `${name}=${clean(textOf(value))}`)
  return `${styled('dim', clock)}  ${text}${rest.length === 0 ? '' : styled('dim', `  ${rest.join(' ')}`)}`
}

interface LogEntry extends Readonly<Record<string, unknown>> {
  readonly level: string
  readonly time: string
  readonly msg: string
}

/** @returns null for a line that the service has not logged: tasks may print others */
export function entryOf(line: string): LogEntry | null {
  try {
    const value: unknown = JSON.parse(line)
    return isEntry(value) ? value : null
  } catch {
    return null
  }
}

function isEntry(value: unknown): value is LogEntry {
  const { level, time, msg } = Object(value) as Partial<Record<string, unknown>>
  return typeof level === 'string' && typeof time === 'string' && typeof msg === 'string'
}

/** Never throws: any value may be in the output of a task, also an object with a member `toString`. */
function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (Array.isArray(value)) return value.map(textOf).join(',')
  const { message } = Object(value) as { readonly message?: unknown }
  return typeof message === 'string' ? message : JSON.stringify(value)
}
