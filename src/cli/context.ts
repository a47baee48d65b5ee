/** What every command gets: the service, the form of its output, and the exit codes. */
import type { Command } from 'commander'
import { type Client, type ClientOptions, createClient } from '../client/client.ts'
import { parseKeeping, writeJson } from '../domain/json.ts'
import { type Glyphs, glyphsOf } from './terminal.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export const exitCodes = { done: 0, failed: 1, usedWrongly: 2, noService: 3 } as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** The command cannot be run with these arguments or this environment. */
export class UsageError extends Error {}

/** Nothing has ever responded at the address. The client must not retry: no service is restarting there. */
export class NoServiceError extends Error {}

export interface Context {
  readonly environment: Environment
  /** The command as the user types it, for hints about the next command. */
  readonly name: string
  /** Address of the service. */
  readonly url: string
  /** Whether the address was given with `--url`. */
  readonly isUrlGiven: boolean
  readonly client: Client
  /** When the service stopped responding, in epoch milliseconds; null while it responds. */
  unreachableSince(): number | null
  /** Whether standard output is JSON and nothing else: one document, or one per line of a stream. */
  readonly isJson: boolean
  readonly glyphs: Glyphs
}

/** Adds a command to the program. */
export type AddCommand = (program: Command, act: Act) => void

/** Turns a function into the action of a command. Nothing returned means done. */
export type Act = <Arguments extends unknown[]>(
  run: (context: Context, ...given: Arguments) => Promise<ExitCode | void>,
) => (...given: Arguments) => Promise<void>

/** The options that every command has. */
export interface ConnectionOptions {
  readonly url?: string
  readonly json?: boolean
}

export function createContext(options: ConnectionOptions, environment: Environment): Context {
  const { FORERUNNER_API_KEY: apiKey } = environment
  const url = addressOf(options, environment)
  if (!URL.canParse(url) || !/^https?:/.test(url)) throw new UsageError(`the address ${url} is no http URL`)
  const { fetch, unreachableSince } = createConnection()
  const json = { parse: (text: string) => parseKeeping(text, dataPaths), stringify: writeJson }
  return {
    environment,
    name: nameIn(environment),
    url,
    isUrlGiven: options.url !== undefined,
    client: createClient({ baseUrl: url, fetch, json, ...(apiKey && { apiKey }) }),
    unreachableSince,
    isJson: options.json === true,
    glyphs: glyphsOf(environment),
  }
}

export function addressOf({ url }: ConnectionOptions, { FORERUNNER_URL: fromEnvironment }: Environment): string {
  return url ?? (fromEnvironment || 'http://127.0.0.1:3000')
}

/** Inputs and results are printed exactly as the service sent them: parsed numbers could lose digits. */
const dataPaths = [
  ['result'],
  ['results'],
  ['jobs', 'result'],
  ['request', 'tasks', 'input'],
  ['schedules', 'request', 'tasks', 'input'],
]

/** npx runs the command without adding it to the shell's path. */
export function nameIn({ npm_command: npmCommand }: Environment): string {
  return npmCommand === 'exec' ? 'npx forerunner' : 'forerunner'
}

/** `fetch` throws a TypeError with a cause if the connection fails. */
export function isConnectionError(error: unknown): error is TypeError {
  return error instanceof TypeError && error.cause !== undefined
}

interface Connection extends Pick<Context, 'unreachableSince'> {
  readonly fetch: NonNullable<ClientOptions['fetch']>
}

/** A service that has responded may be restarting, so the client retries. One that never responded is reported at once. */
function createConnection(): Connection {
  let hasResponded = false
  let unreachableSince: number | null = null
  return {
    unreachableSince: () => unreachableSince,
    async fetch(url, init) {
      try {
        const response = await globalThis.fetch(url, init)
        hasResponded = true
        unreachableSince = null
        return response
      } catch (error) {
        if (!isConnectionError(error)) throw error
        unreachableSince ??= Date.now()
        if (hasResponded) throw error
        throw new NoServiceError(error.message, { cause: error.cause })
      }
    },
  }
}
