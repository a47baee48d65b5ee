/** How a command ends: 0 done, 1 failed, 2 used wrongly, 3 no service there. */
import { messageOf } from '../domain/errors.ts'
import { CommanderError } from 'commander'
import { ProblemError } from '../client/problem-error.ts'
import { asError, clean, complain, printJson } from './terminal.ts'

export const exitCodes = { done: 0, failed: 1, usedWrongly: 2, noService: 3 } as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** The command line cannot be carried out as it is. */
export class UsageError extends Error {}

/** Nothing has ever answered there, so trying again makes somebody wait for nothing. */
export class NoServiceError extends Error {}

export interface FailedCommand {
  readonly url: string
  readonly isJson: boolean
  /** As its caller has it. */
  readonly name: string
}

/** Says what went wrong, unless it was said. */
export function exitCodeOf(error: unknown, { url, isJson, name }: FailedCommand): ExitCode {
  // Commander has written its message, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usedWrongly
  if (error instanceof ProblemError) {
    if (isJson) printJson(error.problem)
    const { title, detail: given, errors = [] } = error.problem
    const detail = given ?? title
    complain(`${asError(`${error.code}:`)} ${clean(detail)}`)
    for (const each of errors)
      if (!detail.includes(each.detail)) complain(`  ${clean(each.pointer)}: ${clean(each.detail)}`)
    if (error.runId !== undefined) complain(`see it with: ${name} show ${error.runId}`)
    if (error.code === 'schedule-not-found') complain(`see which there are with: ${name} schedules`)
    const isUnknown = error.code === 'unknown-task' || error.code === 'task-not-found'
    if (isUnknown) complain(`see which there are with: ${name} tasks`)
    return isUnknown || error.status === 400 || error.status === 422 ? wrongUnlessAnswer(error) : exitCodes.failed
  }
  if (error instanceof UsageError) {
    complain(asError(error.message))
    return exitCodes.usedWrongly
  }
  // A TypeError is what `fetch` throws when an answer has come before.
  if (error instanceof NoServiceError || error instanceof TypeError) {
    complain(asError(`no service answers at ${url}: ${reasonOf(error)}`))
    complain(`start one with "${name} serve", or say where it is with --url or FORERUNNER_URL`)
    return exitCodes.noService
  }
  complain(asError(messageOf(error)))
  return exitCodes.failed
}

/** A failed task may have had a status of its own. */
function wrongUnlessAnswer({ runId }: ProblemError): ExitCode {
  return runId === undefined ? exitCodes.usedWrongly : exitCodes.failed
}

function reasonOf({ message, cause }: Error): string {
  const code: unknown = Reflect.get(Object(cause), 'code')
  return typeof code === 'string' ? code : message
}
