/** The process of its own: reads its settings, starts, listens, and leaves on a signal. Exit code 0 after a clean stop, else 1. */
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

/** Beyond both graces, for what is left to close. */
const closeAllowanceMs = 4_500

/** @param environment names to values */
export async function serve(environment: Readonly<Record<string, string | undefined>>): Promise<void> {
  const exit = makeExitSure()
  fenceEnvironment()
  try {
    freeThreadsFromBound()
    // For the places of errors, where tasks are compiled; the library leaves it to its host.
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
 * A bound of the young generation on the command line is for this thread, which has it by now: every other thread has a
 * bound of its own. One in NODE_OPTIONS stays for all.
 */
function freeThreadsFromBound(): void {
  const isBound = process.execArgv.some((argument) => argument.startsWith('--max-semi-space-size='))
  if (isBound) setFlagsFromString('--max-semi-space-size=0')
}

/**
 * Lets each heap grow by three quarters between two collections; V8 itself would let it grow to four times its size. Not
 * before the start is over: V8 takes code that was compiled with other flags for unknown, and compiles it again.
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
  // Errors of first jobs do not come here: they are contained before.
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)

  let url = ''
  // Once it listens, there may be jobs.
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
    // Before the first job there is nothing to hand back, and the start may be waiting for the database.
    if (server !== undefined) {
      const app = await starting
      isHandedBack = await app.drain()
      // Before the database is closed: a new process that waits for it then finds the address free.
      await server.close()
      await app.close()
    }
    log.info('stopped')
    exit(isHandedBack ? exitCode : 1)
  }
  // From the beginning: a signal during the recovery must not cost the jobs that it starts.
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
      // If the address cannot be had, the start ends here, before any job has lost a start.
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
    // By then it may run jobs, which are to be handed back.
    await stop({ reason: error.message }, 1)
  }
}

/** npm, the terminal and a supervisor can each pass on the same Ctrl-C; a person who presses it twice takes longer. */
const repeatMs = 500

// Taken before any task is loaded.
const now = performance.now.bind(performance)

/**
 * Calls back once, with the first signal that asks a process to leave; SIGHUP comes when its terminal is closed. A Ctrl-C
 * after that ends the process at once.
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
      // The system's own way to end, as the shell expects it: no thread can hold it up.
      process.kill(process.pid, 'SIGINT')
    }
  }

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, onSignal)
  // Node would open its debugger to everybody on this machine.
  process.on('SIGUSR1', () => log.warn('SIGUSR1 is not heeded: start with --inspect to debug'))
}

const shell = '/bin/sh'

/**
 * Call it before any task is loaded. From then on `process.exit()` replaces the program by one that exits with the same
 * code: the system ends all threads with that, also those in a native call. Where the system cannot do it (Windows) or Node
 * may not, Node's own way stays.
 * @returns the same function, for a process in which tasks have replaced `process.exit`
 */
export function makeExitSure(): (code: number) => never {
  const { execve, execPath, exit, platform, reallyExit } = process
  const replace = (code = 0): never => {
    endChildren()
    if (platform === 'win32' || execve === undefined) return reallyExit.call(process, code)
    try {
      // A program that is not there would abort the process.
      if (isExecutable(shell)) return execve(shell, ['sh', '-c', `exit ${code}`], {})
      return execve(execPath, ['node', '-e', `process.exit(${code})`], {})
    } catch {
      // Under `--permission` it needs `--allow-child-process`.
      return reallyExit.call(process, code)
    }
  }
  process.reallyExit = replace
  return (code) => {
    try {
      return exit.call(process, code)
    } finally {
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
 * Ends the child processes that tasks have left: their jobs are handed back and may run again elsewhere. One that was
 * started with `detached` is in a process group of its own, and is meant to outlive us.
 */
function endChildren(): void {
  const group = processGroupOf('self')
  for (const pid of childrenOf('self')) {
    try {
      if (processGroupOf(pid) === group) process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** Empty where the system does not say (it does on Linux). */
function childrenOf(pid: string): string[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    const lists = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8'))
    return lists.flatMap((list) => list.split(' ').filter(Boolean))
  } catch {
    return []
  }
}
