/**
 * forerunner bench: load at a fixed rate. Its generator is a loop of its own and no package: those that send a request when
 * the one before is answered wait together with a service that stands still, and do not count it.
 */
import { randomUUID } from 'node:crypto'
import { writeJson } from '../domain/json.ts'
import { InvalidArgumentError } from 'commander'
import { type AddCommand, type Context, createContext, type Environment, exitCodes, UsageError } from './context.ts'
import { offer, percentile } from './open-loop.ts'
import { readJson } from './run.ts'
import { duration } from './run-lines.ts'
import { complain, endWithSignals, print, printJson, whileWorking } from './terminal.ts'
import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

interface BenchOptions {
  readonly rate: number
  readonly seconds: number
  readonly input?: string
  readonly own?: true
}

interface Load {
  readonly tasks: readonly string[]
  readonly rate: number
  readonly seconds: number
  readonly input?: unknown
}

const maxRequests = 1_000_000
const drainLimitMs = 60_000
const lookEveryMs = 100
/** Above it, what was measured is the generator. */
const maxLateMs = 10

export const addBench: AddCommand = (program, act) => {
  program
    .command('bench')
    .description('load the service with runs of tasks at a fixed rate; without a task, a service of its own')
    .argument('[task...]', 'of each run; the first answers')
    .option('--rate <number>', 'of requests a second', positive, 100)
    .option('--seconds <number>', 'how long', positive, 10)
    .option('--input <file>', 'JSON for each of the tasks; - for standard input')
    .option('--own', 'run the tasks in TASKS_DIR in a service of its own, with a database of its own')
    .action(
      act(async (context: Context, tasks: string[], { rate, seconds, input, own }: BenchOptions) => {
        if (rate * seconds > maxRequests) throw new UsageError(`more than ${maxRequests} requests at once`)
        const isOwn = own === true || tasks.length === 0
        if (isOwn && context.isUrlGiven) throw new UsageError('name tasks of the service, or leave its address out')
        endWithSignals()
        const given = input === undefined ? {} : { input: await readJson(input) }
        const load = { tasks: tasks.length > 0 ? tasks : [idleTask, idleTask], rate, seconds, ...given }
        if (!isOwn) return await report(context, load, false)
        await using service = await startOwnService(context.environment, tasks.length === 0)
        const { environment, isJson } = context
        return await report(createContext({ url: service.url, json: isJson }, environment), load, true)
      }),
    )
}

async function report(context: Context, load: Load, isOwn: boolean) {
  const { client, isJson, url, name } = context
  // Also where the service refuses it, or is not there, that is said at once.
  const tag = `bench:${randomUUID().slice(0, 8)}`
  const request = { tasks: load.tasks.map((task) => ({ name: task, input: load.input })), tags: [tag] }
  await client.runTasks(request)
  const { streams, latenessMs } = await send(context, writeJson(request), load)
  const { latenciesMs = [], failed = 0, failures = {} } = streams[0] ?? {}
  const drainedMs = await whileWorking('waiting for the jobs to end', () => drain(client, tag))
  const latencyMs = figuresOf(latenciesMs)
  const lateMs = Number(percentile(latenessMs, 99).toFixed(2))
  const answered = latenciesMs.length
  if (isJson) printJson({ url, ...load, answered, failed, failures, latencyMs, lateMs, drainedMs, tag })
  else {
    const places = Object.entries(latencyMs).map(([place, ms]) => `${place} ${shown(ms)}`)
    print(`load      ${load.rate} a second for ${load.seconds} s: ${load.tasks.join(' ')}`)
    print(`answered  ${answered} of ${answered + failed}${failed === 0 ? '' : `; ${listOf(failures)}`}`)
    print(`latency   ${places.join('   ')}, since due`)
    print(
      `jobs      ${drainedMs === null ? `still run after ${duration(drainLimitMs)}` : `ended ${duration(drainedMs)} after the last answer`}`,
    )
    if (!isOwn) print(`\nforget these runs with: ${name} prune --tag ${tag}`)
  }
  if (lateMs > maxLateMs)
    complain(`the generator was late by ${shown(lateMs)} (p99): the machine is too busy for this rate`)
  return failed === 0 ? exitCodes.done : exitCodes.failed
}

function send({ url, environment }: Context, body: string, { rate, seconds }: Load) {
  const { FORERUNNER_API_KEY: apiKey } = environment
  const headers: Record<string, string> = apiKey ? { authorization: `Bearer ${apiKey}` } : {}
  const address = new URL('run-tasks', url.endsWith('/') ? url : `${url}/`).href
  return whileWorking(`sending ${rate * seconds} requests in ${seconds} s`, (say) => {
    let replies = 0
    const onReply = (): void => {
      replies += 1
      if (replies % rate === 0) say(`${replies} of ${rate * seconds} answered`)
    }
    return offer({ url: address, seconds, streams: [{ body, perSecond: rate }], headers, onReply })
  })
}

/** @returns how long it took until no run had anything left to do; null where it takes too long */
async function drain(client: Context['client'], tag: string): Promise<number | null> {
  const startedAt = performance.now()
  for (;;) {
    const { runs } = await client.listRuns({ tag, state: 'running', pageSize: 1 })
    const waitedMs = performance.now() - startedAt
    if (runs.length === 0) return Math.round(waitedMs)
    if (waitedMs > drainLimitMs) return null
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
  }
}

function figuresOf(sorted: readonly number[]): Readonly<Record<'p50' | 'p90' | 'p99' | 'max', number | null>> {
  const at = (percent: number): number | null =>
    sorted.length === 0 ? null : Number(percentile(sorted, percent).toFixed(2))
  return { p50: at(50), p90: at(90), p99: at(99), max: at(100) }
}

function shown(ms: number | null): string {
  if (ms === null) return 'n/a'
  return ms < 10 ? `${ms.toFixed(1)} ms` : duration(ms)
}

function listOf(failures: Readonly<Record<string, number>>): string {
  return Object.entries(failures)
    .map(([what, count]) => `${what}: ${count}`)
    .join(', ')
}

function positive(text: string): number {
  const value = Number(text)
  if (!/^\d+(?:\.\d+)?$/.test(text) || value <= 0) throw new InvalidArgumentError('It must be a number above 0.')
  return value
}

/** A service in a process of its own, with a database of its own on the disk. Both end with the command. */
interface OwnService extends AsyncDisposable {
  readonly url: string
}

const idleTask = 'noop'
const idleModule = "export default { kind: 'io', run: (input) => input }\n"

/** @param usesOwnTasks whether it has `idleTask` in place of those in TASKS_DIR */
async function startOwnService(environment: Environment, usesOwnTasks: boolean): Promise<OwnService> {
  const directory = await mkdtemp(join(tmpdir(), 'forerunner-bench-'))
  if (usesOwnTasks) {
    await mkdir(join(directory, 'tasks'))
    await writeFile(join(directory, 'tasks', `${idleTask}.mjs`), idleModule)
  }
  const own = { HOST: '127.0.0.1', PORT: '0', API_KEYS: '', API_KEYS_READ: '', LOG_LEVEL: 'info' }
  const child = spawn(process.execPath, [fileURLToPath(new URL('../cli.js', import.meta.url)), 'serve'], {
    env: {
      ...environment,
      ...own,
      DATABASE_URL: `sqlite:${join(directory, 'bench.db')}`,
      ...(usesOwnTasks && { TASKS_DIR: join(directory, 'tasks') }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  function end(): void {
    child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
  process.once('exit', end)
  const dispose = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
    process.off('exit', end)
    end()
  }

  const { promise: ready, resolve, reject } = Promise.withResolvers<string>()
  const { stdout: log } = child
  let last = ''
  // Read to its end: a service whose log nobody takes would wait for that.
  createInterface({ input: log }).on('line', (line) => {
    const { msg, url } = entryOf(line)
    if (msg?.startsWith('ready at ') === true && url !== undefined) resolve(url)
    last = msg ?? last
  })
  void ended.then(() => reject(new Error(`the service did not start: ${last}`)))
  try {
    return { url: await ready, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}

/** A task may print what it likes. */
function entryOf(line: string): { readonly msg?: string; readonly url?: string } {
  try {
    return Object(JSON.parse(line)) as { readonly msg?: string; readonly url?: string }
  } catch {
    return {}
  }
}
