/** The only writer to the console. Lines are JSON; those about a job have `runId`, `jobIndex` and `attempt`. */
import { pino, type Logger as PinoLogger } from 'pino'

export type Log = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'isLevelEnabled'>

/**
 * A logger of the host: pino, or anything with these four methods, such as `console`. A call has the fields of the line, if
 * any, before its message.
 */
export type Logger = Readonly<Record<'debug' | 'info' | 'warn' | 'error', (...line: never[]) => void>>

/** Adapts the host's logger: the service also uses the level `fatal`, and asks which levels are enabled. */
export function adaptLogger(logger: Logger): Log {
  const bound = (level: string): Log['info'] => {
    const write: unknown = Reflect.get(logger, level)
    if (typeof write !== 'function') throw new TypeError(`the logger has no method ${level}`)
    return (...line: unknown[]): void => {
      try {
        Reflect.apply(write, logger, line)
      } catch {
        // The line is lost. An error of the logger must not stop what the line is about.
      }
    }
  }
  const has = (name: string): boolean => typeof Reflect.get(logger, name) === 'function'
  const isEnabled: unknown = Reflect.get(logger, 'isLevelEnabled')
  const [debug, info, warn, error] = [bound('debug'), bound('info'), bound('warn'), bound('error')]
  return {
    debug,
    info,
    warn,
    error,
    fatal: has('fatal') ? bound('fatal') : error,
    isLevelEnabled: (level) => typeof isEnabled !== 'function' || Reflect.apply(isEnabled, logger, [level]) === true,
  }
}

/** @param level `silent` writes nothing */
export function createLog(level: string): Log {
  // A getter of the thrown object can throw, which must not make logging fail.
  const serializers = {
    err(thrown: Error): unknown {
      try {
        return pino.stdSerializers.err(thrown)
      } catch {
        return 'a value that cannot be shown'
      }
    },
  }
  const formatters = { level: (label: string) => ({ level: label }) }
  // Writes to the descriptor: in a thread, process.stdout needs the main thread, which may be blocked.
  const destination = pino.destination({ fd: 1, sync: true })
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters, serializers }, destination)
}

/** Passes on the error output of a child process. */
export function passOnErrors(chunk: Buffer): void {
  process.stderr.write(chunk)
}
