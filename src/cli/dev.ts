/** forerunner dev: the service, started again whenever a file of its tasks changes. Its jobs are handed back in between. */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, watch } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { readConfig } from '../config.ts'
import { type AddCommand, type Context, type ExitCode, exitCodes } from './context.ts'
import { complain, isTerminal, print, clean, styled } from './terminal.ts'

/** An editor writes a file in several steps. */
const settleMs = 150
/** Unless it is set: a job that is stopped by a change runs again, and somebody waits for the change. */
const graceMs = '500'

export const addDev: AddCommand = (program, act) => {
  program
    .command('dev')
    .description('run the service here, and start it again when a file in TASKS_DIR changes')
    .action(act(({ environment }: Context) => supervise(environment)))
}

async function supervise(environment: Context['environment']): Promise<ExitCode> {
  const { tasksDir } = readConfig(environment)
  if (!existsSync(tasksDir)) throw new Error(`there is no directory ${tasksDir}: TASKS_DIR names it`)
  const cli = fileURLToPath(new URL('../cli.js', import.meta.url))
  let child: ChildProcess | undefined
  const isReadable = isTerminal()
  let isLeaving = false
  let isChanged = false
  let wake = (): void => {}

  function stop(signal: NodeJS.Signals): void {
    child?.kill(signal)
    wake()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      isLeaving = true
      // A terminal sends it to the child as well, which takes a second one right behind for the same.
      stop(signal)
    })
  }
  let timer: NodeJS.Timeout | undefined
  const watcher = watch(tasksDir, { recursive: true }, () => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      isChanged = true
      stop('SIGTERM')
    }, settleMs)
  })
  watcher.on('error', (error) => complain(`changes are not seen any more: ${error.message}`))

  try {
    for (;;) {
      isChanged = false
      child = spawn(process.execPath, [...process.execArgv, cli, 'serve'], {
        env: { SHUTDOWN_GRACE_MS: graceMs, ...environment },
        stdio: ['inherit', isReadable ? 'pipe' : 'inherit', 'inherit'],
      })
      const { stdout: log } = child
      if (log !== null) createInterface({ input: log }).on('line', (line) => print(readableLine(line)))
      const code = await new Promise<number | null>((resolve) => child?.once('close', resolve))
      child = undefined
      if (isLeaving) return code === 0 ? exitCodes.done : exitCodes.failed
      if (isChanged) continue
      // What is wrong has been said; with the next change it may be right.
      complain('waiting for a change of the tasks')
      await new Promise<void>((resolve) => (wake = resolve))
      if (isLeaving) return exitCodes.done
    }
  } finally {
    clearTimeout(timer)
    watcher.close()
  }
}

/** Lines of the log as people read them; what a task prints stays as it is. */
const styles = { warn: 'yellow', error: 'red', fatal: 'red' } as const

export function readableLine(line: string): string {
  const entry = parse(line)
  if (entry === null) return line
  const { level, time, msg, ...fields } = entry
  const clock = new Date(String(time)).toTimeString().slice(0, 8)
  const isLoud = level === 'warn' || level === 'error' || level === 'fatal'
  const text = isLoud ? styled(styles[level], `${level}: ${clean(String(msg))}`) : clean(String(msg))
  const shown = Object.entries(fields).filter(([, value]) => !Array.isArray(value) || value.length > 0)
  const rest = shown.map(([name, value]) => `${name}=${clean(textOf(value))}`)
  return `${styled('dim', clock)}  ${text}${rest.length === 0 ? '' : styled('dim', `  ${rest.join(' ')}`)}`
}

function parse(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line)
    const isEntry = typeof value === 'object' && value !== null && 'level' in value && 'time' in value && 'msg' in value
    return isEntry ? { ...value } : null
  } catch {
    return null
  }
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(',')
  if (typeof value !== 'object' || value === null) return String(value)
  // Of an error, what its stack begins with.
  return 'message' in value ? String(value.message) : JSON.stringify(value)
}
