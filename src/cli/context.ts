/** What every command gets: the service, the form of its output, and its exit code. */
import { type Command, CommanderError } from 'commander'
import { messageOf } from '../domain/errors.ts'
import { type Client, type ClientOptions, createClient } from '../client/client.ts'
import { ProblemError } from '../client/transport.ts'
import { parseKeeping, writeJson } from '../domain/json.ts'
import { asError, clean, complain, type Glyphs, glyphsOf, printJson } from './terminal.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface Context {
  readonly environment: Environment
  /** The command as its caller has it, for what is to be typed next. */
  readonly name: string
  readonly url: string
  /** Somebody has said where the service is. */
  readonly isUrlGiven: boolean
  readonly client: Client
  /** Since when a service that has answered does not any more, in epoch milliseconds; null while it does. */
  lostAt(): number | null
  /** One JSON document on standard output, or one a line where it streams, and nothing else. */
  readonly isJson: boolean
  readonly glyphs: Glyphs
}

/** Adds a command to the program. */
export type AddCommand = (program: Command, act: Act) => void

/** Makes an action of a function that ends with an exit code. */
export type Act = <Arguments extends unknown[]>(
  run: (context: Context, ...given: Arguments) => Promise<ExitCode>,
) => (...given: Arguments) => Promise<void>

export const defaultUrl = 'http://127.0.0.1:3000'

export function createContext(
  options: { readonly url?: string; readonly json?: boolean },
  environment: Environment,
): Context {
  const { FORERUNNER_URL: fromEnvironment, FORERUNNER_API_KEY: apiKey } = environment
  const url = options.url ?? (fromEnvironment || defaultUrl)
  if (!URL.canParse(url) || !/^https?:/.test(url)) throw new UsageError(`the address ${url} is no http URL`)
  const connection = createConnection()
  const json = { parse: (text: string) => parseKeeping(text, dataPaths), stringify: writeJson }
  const client = createClient({ baseUrl: url, fetch: connection.fetch, json, ...(apiKey && { apiKey }) })
  return {
    environment,
    name: nameIn(environment),
    url,
    isUrlGiven: options.url !== undefined,
    client,
    lostAt: connection.lostAt,
    isJson: options.json === true,
    glyphs: glyphsOf(environment),
  }
}

/** Inputs and results are printed as the service has them: as values they could lose digits. */
const dataPaths = [
  ['result'],
  ['results'],
  ['jobs', 'result'],
  ['request', 'tasks', 'input'],
  ['schedules', 'request', 'tasks', 'input'],
]

/** Through npx the command has no name of its own in the shell. */
export function nameIn({ npm_command: npmCommand }: Environment): string {
  return npmCommand === 'exec' ? 'npx forerunner' : 'forerunner'
}

interface Connection {
  readonly fetch: NonNullable<ClientOptions['fetch']>
  readonly lostAt: Context['lostAt']
}

/** A service that has answered once may be on its way back; one that never has is not there. */
function createConnection(): Connection {
  let hasAnswered = false
  let lostAt: number | null = null
  return {
    lostAt: () => lostAt,
    async fetch(url, init) {
      try {
        const response = await fetch(url, init)
        hasAnswered = true
        lostAt = null
        return response
      } catch (error) {
        if (!(error instanceof TypeError)) throw error
        lostAt ??= Date.now()
        if (hasAnswered) throw error
        throw new NoServiceError(error.message, { cause: error.cause })
      }
    },
  }
}

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
