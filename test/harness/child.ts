/**
 * The real service as a separate process, compiled and without tsx, to be killed, signalled and restarted. A home is
 * what outlives a process: the database and the files of its tasks. Disposing of it kills remaining processes.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve as absolute } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))
export const processTasks = fileURLToPath(new URL('../fixtures/process-tasks/', import.meta.url))

const { NODE_COMPILE_CACHE: cacheDirectory } = process.env
/** The test runner's compile cache, so that the many processes here start faster. */
const compileCache: Environment =
  cacheDirectory === undefined ? {} : { NODE_COMPILE_CACHE: absolute(root, cacheDirectory) }

const limitMs = 40_000
/** The death of a process is noticed within this time. */
const aliveAfterMs = 1_000

export type Environment = Readonly<Record<string, string>>

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [member: string]: unknown
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Process {
  readonly pid: number | undefined
  /** Log lines so far; lines that are not JSON are omitted. */
  readonly lines: readonly LogLine[]
  /** Resolves when the process is gone and all its lines have arrived. */
  ended(): Promise<Exit>
  /** All of its standard error output. */
  errors(): string
  /** Resolves to the first line whose message starts with the text, past or future; rejects if the process ends first. */
  logged(message: string): Promise<LogLine>
  /** Sends the signal (to its process group, if it has its own) and resolves when the process is gone. */
  kill(signal: NodeJS.Signals): Promise<Exit>
  /** Sends the signal without waiting. */
  signal(signal: NodeJS.Signals): void
}

export interface Child extends Process {
  readonly url: string
  post(path: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Response>
  get(path: string): Promise<Response>
}

/** A prefix of the command `node …`, which ends by running the rest of the command. */
export type Command = 'node' | 'npm' | 'npm run dev' | readonly string[]

/** Limits the file descriptors of the command. */
export function withDescriptors(limit: number): readonly string[] {
  return ['sh', '-c', `ulimit -n ${limit} && exec "$@"`, 'sh']
}

/** Runs the command as a user with a limit of threads; root has no such limit. */
export function withThreads(limit: number): Command {
  const user = ['setpriv', '--reuid=54321', '--regid=54321', '--clear-groups']
  return [...user, 'bash', '-c', `ulimit -u ${limit} && exec "$@"`, 'bash']
}

export interface Home extends AsyncDisposable {
  readonly directory: string
  readonly databasePath: string
  /** Starts a process without waiting; with npm it has its own process group. */
  spawn(environment?: Environment, command?: Command): Process
  /** Starts the service and resolves when it accepts runs. */
  start(environment?: Environment, command?: Command): Promise<Child>
}

/** @param environment of all processes started here, in addition to a database in the home, a free port and the fixtures */
export async function makeHome(environment: Environment = {}): Promise<Home> {
  const directory = await mkdtemp(join(tmpdir(), 'forerunner-'))
  const databasePath = join(directory, 'data', 'test.db')
  const processes: Process[] = []
  const common: Environment = {
    // Without the test runner's other variables: its PORT or LOG_LEVEL is not meant for this process.
    ...pick(['PATH', 'HOME']),
    ...compileCache,
    PORT: '0',
    DATABASE_URL: `sqlite:${databasePath}`,
    TASKS_DIR: processTasks,
    ...environment,
  }

  function spawnProcess(own: Environment = {}, command: Command = 'node'): Process {
    const npmArgs = { npm: ['start'], 'npm run dev': ['run', 'dev'], node: null }
    const ofNpm = typeof command === 'string' ? npmArgs[command] : null
    const isGroup = ofNpm !== null
    const before = typeof command === 'string' ? [] : command
    const [file, ...args] = isGroup ? ['npm', ...ofNpm] : [...before, process.execPath, join(root, 'dist/src/main.js')]
    const child = spawn(file ?? '', args, {
      cwd: isGroup ? root : directory,
      env: { ...common, ...own },
      detached: isGroup,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const started = watch(child, child.stdout, child.stderr, isGroup)
    processes.push(started)
    return started
  }

  return {
    directory,
    databasePath,
    spawn: spawnProcess,
    async start(own, command) {
      const started = spawnProcess(own, command)
      const { url } = await started.logged('ready at ')
      return reach(started, String(url))
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map((started) => started.kill('SIGKILL')))
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function watch(child: ChildProcess, stdout: Readable, stderr: Readable, isGroup: boolean): Process {
  const lines: LogLine[] = []
  const listeners = new Set<(line: LogLine) => void>()
  let errors = ''
  createInterface({ input: stdout }).on('line', (text) => {
    if (!text.startsWith('{')) return
    const line = JSON.parse(text) as LogLine
    lines.push(line)
    for (const listener of listeners) listener(line)
  })
  stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  // If the program does not exist: without a listener the tests would end here.
  child.once('error', (error) => (errors += String(error)))

  const { promise: exit, resolve } = Promise.withResolvers<Exit>()
  let isGone = false
  // If the test runner is ended in the middle, no process is left behind.
  const onTesterExit = (): void => send('SIGKILL')
  process.once('exit', onTesterExit)
  child.once('close', (code, signal) => {
    isGone = true
    process.off('exit', onTesterExit)
    resolve({ code, signal })
  })

  function send(signal: NodeJS.Signals): void {
    if (isGone || child.pid === undefined) return
    try {
      process.kill(isGroup ? -child.pid : child.pid, signal)
    } catch (error) {
      // The process has just ended, and its streams have not yet.
      if (Reflect.get(Object(error), 'code') !== 'ESRCH') throw error
    }
  }

  async function logged(message: string): Promise<LogLine> {
    const known = lines.find(({ msg }) => msg.startsWith(message))
    if (known !== undefined) return known
    const { promise: found, resolve: find } = Promise.withResolvers<LogLine>()
    const listener = (line: LogLine): void => {
      if (line.msg.startsWith(message)) find(line)
    }
    listeners.add(listener)
    const ended = exit.then(({ code, signal }) => {
      const told = lines.map(({ level, msg }) => `${level}: ${msg}`).join('\n')
      throw new Error(`ended with ${code ?? signal} and did not log "${message}":\n${told}\n${errors}`)
    })
    try {
      return await within(`it logs "${message}"`, Promise.race([found, ended]))
    } finally {
      listeners.delete(listener)
    }
  }

  const ended = (): Promise<Exit> => within('it ends', exit)

  return {
    pid: child.pid,
    lines,
    ended,
    errors: () => errors,
    logged,
    signal: send,
    kill(signal) {
      send(signal)
      return ended()
    },
  }
}

export function reach(started: Process, url: string): Child {
  async function ask(path: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(`${url}${path}`, init)
    } catch (error) {
      throw new Error(`${init.method} ${url}${path} failed: ${await explain(error)}`, { cause: error })
    }
  }

  /** fetch reports only that it failed. */
  async function explain(reason: unknown): Promise<string> {
    const running = pause(aliveAfterMs, 'it still runs', { ref: false })
    const state = await Promise.race([
      started.ended().then(({ code, signal }) => `it ended with ${code ?? signal}`),
      running,
    ])
    // After the wait, because the last words of a dying process matter.
    const told = started.lines.map(({ level, msg }) => `${level}: ${msg}`).join('\n')
    return `${String(Reflect.get(Object(reason), 'cause'))}; ${state} and has logged:\n${told}`
  }

  return {
    ...started,
    url,
    post(path, body, more = {}) {
      const headers = { ...more, ...(body !== undefined && { 'Content-Type': 'application/json' }) }
      return ask(path, { method: 'POST', headers, ...(body !== undefined && { body: JSON.stringify(body) }) })
    },
    get: (path) => ask(path, { method: 'GET' }),
  }
}

/** Rejects if the promise is not settled within the limit, so that a hanging process cannot hang the tests. */
export async function within<Value>(what: string, promise: Promise<Value>): Promise<Value> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`waited ${limitMs} ms in vain until ${what}`)), limitMs)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

function pick(names: readonly string[]): Environment {
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])))
}
