#!/usr/bin/env node
/** The process: reads its settings, starts, listens, and leaves on a signal. Exit code 0 after a clean stop, else 1. */
import { setFlagsFromString } from 'node:v8'
import { startApp } from './app.ts'
import { readConfig, shownDatabase } from './config.ts'
import { BootError } from './domain/errors.ts'
import type { HttpServer } from './http/server.ts'
import { guardProcess } from './intake/process-guard.ts'
import { createLog } from './log.ts'

const loadServer = () => import('./http/server.ts')

/** Beyond both graces, for what is left to close. */
const closeAllowanceMs = 5_000

/**
 * A bound of V8's young generation on the command line is for this thread, which has it by now: tasks that allocate
 * much are slower with a small one, so threads get V8's own. One in NODE_OPTIONS stays for all.
 */
function freeThreadsFromBound(): void {
  const isBound = process.execArgv.some((argument) => argument.startsWith('--max-semi-space-size='))
  if (isBound) setFlagsFromString('--max-semi-space-size=0')
}

async function main(): Promise<void> {
  freeThreadsFromBound()
  const config = readConfig(process.env)
  const log = createLog(config.logLevel)
  const die = (error: unknown): never => {
    log.fatal({ err: error }, 'the process cannot go on; the next start recovers its jobs')
    process.exit(1)
  }
  guardProcess(log, die)

  let url = ''
  // Once it listens, there may be jobs.
  let server: HttpServer | undefined
  let isStopping = false

  async function stop(signal: string): Promise<void> {
    // npm and the terminal can both pass the same signal on.
    if (isStopping) return
    isStopping = true
    log.info({ signal }, 'stopping')
    const limitMs = config.shutdownGraceMs + config.cancelGraceMs + closeAllowanceMs
    // For a leaving that hangs. What process.exit() waits for, a thread in native code, it cannot end.
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), limitMs).unref()
    // Before the first job there is nothing to hand back, and the start may be waiting for the database.
    if (server !== undefined) {
      const app = await starting
      await app.drain()
      // Before the database is let go: who waits for that finds the address free.
      await server.close()
      await app.close()
    }
    log.info('stopped')
    process.exit(0)
  }
  // From the beginning: a signal during the recovery must not cost the jobs that it starts.
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void stop(signal).catch(die))

  const starting = startApp({
    config,
    log,
    onLost: die,
    prepare: loadServer,
    async beforeJobs(middleware) {
      const { createHttpServer } = await loadServer()
      const created = createHttpServer(log)
      // An address that cannot be had ends the start before it costs any job a start.
      url = await created.listen(middleware, config.host, config.port)
      server = created
    },
  })
  await starting
  await server?.warmUp(config.apiKeys[0])
  const { role, threads, ioThreads } = config
  const database = shownDatabase(config.databaseUrl)
  if (!isStopping) log.info({ url, database, role, threads, ioThreads }, `ready at ${url}`)
}

try {
  await main()
} catch (error) {
  const log = createLog('info')
  if (error instanceof BootError) log.fatal(error.message)
  else log.fatal({ err: error }, 'the service could not start')
  process.exit(1)
}
