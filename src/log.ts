/** The only writer to the console. Lines are JSON with `runId`, `jobIndex` and `attempt` where there are such. */
import { pino, type Logger } from 'pino'

export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'isLevelEnabled'>

/** @param level `silent` writes nothing */
export function createLog(level: string): Log {
  // Whatever was thrown: a getter of it that throws must not fail who logs it.
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
