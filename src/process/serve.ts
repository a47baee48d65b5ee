/**
 * The service as a process: reads its settings, starts, listens, and stops on a signal. The exit code is 0 after a stop that
 * committed every outcome, else 1.
 */
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import { startApp } from '../app.ts'
import { type Config, doubtsAbout, readConfig, shownDatabase } from '../config.ts'
import { BootError } from '../domain/errors.ts'
import { fenceEnvironment } from '../execution/main-thread/process-guard.ts'
import type { HttpServer } from '../http/server.ts'
import { createLog, type Log } from '../log.ts'
import { processGroupOf } from '../tasks/process-fence.ts'

const loadServer = () => import('../http/server.ts')

/** Time to close servers and stores, in addition to both graces. */
const closeAllowanceMs = 4_500

/** @param environment names to values */
export async function serve(environment: Readonly<Record<string, string | undefined>>): Promise<void> {
  const exit = makeExitSure()
  fenceEnvironment()
  try {
    removeHeapBoundOfThreads()
    // Errors of compiled tasks name their sources. A library leaves this to its host.
    process.setSourceMapsEnabled(true)
    const config = readConfig(environment)
    await run(config, createLog(config.logLevel), exit)
  } catch (error) {
    const log = createLog('info')
    if (error instanceof BootError) log.fatal(error.message)
    else log.fatal({ err: error }, 'the service could not start')
    exit(1)
  }
}

/**
 * A bound of the young generation on the command line is for the main thread only, which has applied it by now: other
 * threads have bounds of their own. A bound in NODE_OPTIONS stays valid for all.
 */
function removeHeapBoundOfThreads(): void {
  const isBound = process.execArgv.some((argument) => argument.startsWith('--max-semi-space-size='))
  if (isBound) setFlagsFromString('--max-semi-space-size=0')
}

/**
 * Lets each heap grow by three quarters between two collections, instead of up to four times its size. Only after the
 * start, because V8 compiles code again that was cached with other flags.
 */
function boundHeapGrowth(): void {
  // Node itself writes the cache of compiled code at a normal exit, which ours is not. It takes 40 ms the first time only.
  flushCompileCache()
  setFlagsFromString('--heap-growing-percent=75')
}

async function run(config: Config, log: Log, exit: (code: number) => never): Promise<void> {
  const die = (error: unknown): never => {
    log.fatal({ err: error }, 'the process cannot go on; the next start recovers its jobs')
    exit(1)
  }
  // Errors of first jobs do not arrive here: guardProcess contains them.
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)

  let url = ''
  /** Undefined before the service listens; until then there is no job. */
  let server: HttpServer | undefined
  let isStopping = false

  async function stop(cause: object, exitCode = 0): Promise<void> {
    isStopping = true
    log.info(cause, 'stopping')
    const limitMs = config.shutdownGraceMs + config.cancelGraceMs + closeAllowanceMs
    setTimeout(() => {
      log.error({ limitMs }, 'stopping took too long; the next start recovers what was not handed back')
      exit(1)
    }, limitMs).unref()
    let isHandedBack = true
    // No job starts before it listens. Until then there is nothing to hand back, and `starting` may wait for the database.
    if (server !== undefined) {
      const app = await starting
      isHandedBack = await app.drain()
      // Before the database, because a new process that waits for the database needs the address next.
      await server.close()
      await app.close()
    }
    log.info('stopped')
    exit(isHandedBack ? exitCode : 1)
  }
  // Before the start, which recovers jobs after it listens: a signal must not lose those that the recovery starts.
  onLeaveSignal(log, (signal) => void stop({ signal }).catch(die))

  for (const doubt of doubtsAbout(config)) log.warn(doubt)
  const starting = startApp({
    config,
    log,
    onLost: die,
    prepare: loadServer,
    async beforeJobs(middleware) {
      const { createHttpServer } = await loadServer()
      const created = createHttpServer(log)
      // If the address is taken, the start fails here, before any job can lose a start.
      url = await created.listen(middleware, config.host, config.port)
      server = created
    },
  })
  const app = await starting
  await server?.warmUp(config.apiKeys[0])
  const { role, threads, ioThreads } = config
  const database = shownDatabase(config.databaseUrl)
  if (isStopping) return
  log.info({ url, pid: process.pid, database, role, threads, ioThreads }, `ready at ${url}`)
  try {
    await app.loadOnThreads()
    boundHeapGrowth()
  } catch (error) {
    if (isStopping) return
    if (!(error instanceof BootError)) throw error
    log.fatal(error.message)
    // It may run jobs already, which must be handed back.
    await stop({ reason: error.message }, 1)
  }
}

/** npm, the terminal and a supervisor can each pass on the same Ctrl-C. A second Ctrl-C of a person comes later than this. */
const repeatMs = 500

// Taken before any task is loaded.
const now = performance.now.bind(performance)

/**
 * Calls back once, with the first signal that asks the process to stop; a closed terminal sends SIGHUP. A second Ctrl-C ends
 * the process at once.
 */
function onLeaveSignal(log: Log, leave: (signal: NodeJS.Signals) => void): void {
  let askedAt: number | null = null

  function onSignal(signal: NodeJS.Signals): void {
    if (askedAt === null) {
      askedAt = now()
      leave(signal)
    } else if (signal === 'SIGINT' && now() - askedAt >= repeatMs) {
      log.warn('stopping at once; the next start runs what was not handed back')
      process.off('SIGINT', onSignal)
      // By the signal itself, as the shell expects: no thread can delay that.
      process.kill(process.pid, 'SIGINT')
    }
  }

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, onSignal)
  // By default, Node would open its debugger to every user of this machine.
  process.on('SIGUSR1', () => log.warn('SIGUSR1 is not heeded: start with --inspect to debug'))
}

const shell = '/bin/sh'

/**
 * Makes `process.exit()` end the process at once. Node waits for each of its threads, and a thread may never return from a
 * native call that a task made (a read of a pipe without a writer, `execFileSync`). So the process is replaced by a program
 * that exits with the same code, which ends all threads. Where that is impossible (Windows, permissions), Node's own exit
 * stays. Call it before any task is loaded.
 * @returns the same exit, which works when a task has replaced `process.exit`
 */
export function makeExitSure(): (code: number) => never {
  const { execve, execPath, exit, platform, reallyExit } = process
  const replace = (code = 0): never => {
    killChildren()
    if (platform === 'win32' || execve === undefined) return reallyExit.call(process, code)
    try {
      // Checked first: execve of a missing program aborts the process.
      if (isExecutable(shell)) return execve(shell, ['sh', '-c', `exit ${code}`], {})
      return execve(execPath, ['node', '-e', `process.exit(${code})`], {})
    } catch {
      // `--permission` without `--allow-child-process` forbids it.
      return reallyExit.call(process, code)
    }
  }
  process.reallyExit = replace
  return (code) => {
    try {
      return exit.call(process, code)
    } finally {
      // Reached when a listener of `exit` throws, or a task has replaced `reallyExit`.
      replace(code)
    }
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Kills the child processes that tasks have left, because their jobs may run again elsewhere. A `detached` child, which has
 * a process group of its own, is meant to go on.
 */
function killChildren(): void {
  const group = processGroupOf('self')
  for (const pid of ownChildren()) {
    try {
      if (processGroupOf(pid) === group) process.kill(Number(pid), 'SIGKILL')
    } catch {
      // The child has ended.
    }
  }
}

/** Empty on systems other than Linux. */
function ownChildren(): string[] {
  try {
    const threads = readdirSync('/proc/self/task')
    const lists = threads.map((thread) => readFileSync(`/proc/self/task/${thread}/children`, 'utf8'))
    return lists.flatMap((list) => list.split(' ').filter(Boolean))
  } catch {
    return []
  }
}
