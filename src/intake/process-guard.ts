/** Keeps a first job from ending the process that it shares with every request. For a process of its own only. */
import type { Log } from '../log.ts'
import { blameFirstAttempt, currentFirstAttempt } from './first-attempt.ts'

/** @param die called with what nobody caught and no first job is to blame for */
export function guardProcess(log: Log, die: (error: unknown) => void): void {
  const onStray = (thrown: unknown): void => {
    if (!blameFirstAttempt(thrown, log)) die(thrown)
  }
  process.on('uncaughtException', onStray)
  process.on('unhandledRejection', onStray)

  const exit = process.exit.bind(process)
  process.exit = (code) => {
    const attempt = currentFirstAttempt.getStore()
    if (attempt === undefined) return exit(code)
    const exitCode = Number(code ?? process.exitCode ?? 0)
    const message = `called process.exit(${exitCode}) on the main thread`
    attempt.breakWith({ message, exitCode })
    throw new Error(`the task ${attempt.job.task} ${message}`)
  }
}
