/** What every command is given: the service, and how it is to answer. */
import type { Command } from 'commander'
import { createClient, type Client, type ClientOptions } from '../client/client.ts'
import { writeJson } from '../domain/json.ts'
import { parseKeeping } from '../domain/json-places.ts'
import { glyphsOf, type Glyphs } from './characters.ts'
import { NoServiceError, UsageError, type ExitCode } from './exit-code.ts'

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
