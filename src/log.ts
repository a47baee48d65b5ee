/** The only writer to the console. Lines are JSON with `runId`, `jobIndex` and `attempt` where there are such. */
import { pino, type Logger as PinoLogger } from 'pino'

export type Log = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'isLevelEnabled'>

/**
 * A log of the host's: pino, or anything with these four methods, such as `console`. Each line has its fields, if any,
 * before its message.
 */
export type Logger = Readonly<Record<'debug' | 'info' | 'warn' | 'error', (...line: never[]) => void>>

/** The host's logger as the service writes to it, which has a fifth level and asks which are on. */
export function adaptLogger(logger: Logger): Log {
  const bound = (level: string): Log['info'] => {
    const write: unknown = Reflect.get(logger, level)
    if (typeof write !== 'function') throw new TypeError(`the logger has no method ${level}`)
    return (...line: unknown[]): void => {
      try {
        Reflect.apply(write, logger, line)
      } catch {
        // The line is lost; what it was about goes on.
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
  // A getter of the thrown object can throw: that must not make logging fail.
  const serializers = {
    err(thrown: Error): unknown {
      try {
        return pino.stdSerializers.err(thrown)
      } catch {
        return 'what cannot be shown'
      }
    },
  }
  const formatters = { level: (label: string) => ({ level: label }) }
  // The descriptor itself: in a thread, process.stdout would go by way of the main one, which may stand still.
  const destination = pino.destination({ fd: 1, sync: true })
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters, serializers }, destination)
}

/** Passes on what a child process wrote to its standard error output. */
export function passOnErrors(chunk: Buffer): void {
  process.stderr.write(chunk)
}
