/** forerunner bench: loads the service, or a temporary one, with runs at a fixed rate, and prints the latencies. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { InvalidArgumentError } from 'commander'
import { writeJson } from '../domain/json.ts'
import { type AddCommand, type Context, createContext, type Environment, exitCodes, UsageError } from './context.ts'
import { entryOf } from './dev.ts'
import { offer, type OpenLoopReport, percentile } from './open-loop.ts'
import { duration } from './run-lines.ts'
import { readJson } from './run.ts'
import { complain, exitOnSignals, print, printJson, whileWorking } from './terminal.ts'

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
const drainPollMs = 100
/** If the generator is later than this, the latencies are its own. */
const maxLateMs = 10

export const addBench: AddCommand = (program, act) => {
  program
    .command('bench')
    .description('load the service with runs at a fixed rate; without a task, load a temporary service')
    .argument('[task...]', 'tasks of each run; the first one answers')
    .option('--rate <number>', 'requests per second', parsePositive, 100)
    .option('--seconds <number>', 'duration', parsePositive, 10)
    .option('--input <file>', 'JSON input for each task; - reads standard input')
    .option('--own', 'run the tasks in TASKS_DIR in a temporary service with an empty database')
    .action(
      act(async (context: Context, tasks: string[], { rate, seconds, input, own }: BenchOptions) => {
        const { environment, isJson, isUrlGiven, name } = context
        if (rate * seconds > maxRequests) throw new UsageError(`more than ${maxRequests} requests in all`)
        const isOwn = own === true || tasks.length === 0
        if (isOwn && isUrlGiven) throw new UsageError('name tasks of the service, or leave its address out')
        exitOnSignals()
        const given = input === undefined ? {} : { input: await readJson(input) }
        const load = { tasks: tasks.length > 0 ? tasks : [idleTask, idleTask], rate, seconds, ...given }
        await using service = isOwn ? await startOwnService(environment, tasks.length === 0) : null
        const target = service === null ? context : createContext({ url: service.url, json: isJson }, environment)
        const report = await measure(target, load)
        if (isJson) printJson(report)
        else printReport(report)
        if (report.lateMs > maxLateMs) {
          complain(`the generator was late by ${msText(report.lateMs)} (p99): the machine is too busy for this rate`)
        }
        if (service === null && !isJson) print(`\nremove these runs with: ${name} prune --tag ${report.tag}`)
        return report.failed === 0 ? exitCodes.done : exitCodes.failed
      }),
    )
}

function parsePositive(text: string): number {
  const value = Number(text)
  if (!/^\d+(?:\.\d+)?$/.test(text) || value <= 0) throw new InvalidArgumentError('It must be a number above 0.')
  return value
}

async function measure(context: Context, load: Load) {
  const { client, url } = context
  const tag = `bench:${randomUUID().slice(0, 8)}`
  const request = { tasks: load.tasks.map((name) => ({ name, input: load.input })), tags: [tag] }
  // Fails at once if there is no service, or if it refuses the request.
  await client.runTasks(request)
  const { streams, latenessMs } = await send(context, writeJson(request), load)
  const { latenciesMs = [], failed = 0, failures = {} } = streams[0] ?? {}
  const drainedMs = await whileWorking('waiting for the jobs to end', () => drain(client, tag))
  const answered = latenciesMs.length
  const lateMs = percentileOf(latenessMs, 99) ?? 0
  const latencyMs = {
    p50: percentileOf(latenciesMs, 50),
    p90: percentileOf(latenciesMs, 90),
    p99: percentileOf(latenciesMs, 99),
    max: percentileOf(latenciesMs, 100),
  }
  return { url, ...load, answered, failed, failures, latencyMs, lateMs, drainedMs, tag }
}

function send({ url, environment }: Context, body: string, { rate, seconds }: Load): Promise<OpenLoopReport> {
  const { FORERUNNER_API_KEY: apiKey } = environment
  const headers: Record<string, string> = apiKey ? { authorization: `Bearer ${apiKey}` } : {}
  const address = new URL('run-tasks', url.endsWith('/') ? url : `${url}/`).href
  const count = Math.round(rate * seconds)
  return whileWorking(`sending ${count} requests in ${seconds} s`, (say) => {
    let replies = 0
    const onReply = (): void => {
      replies += 1
      if (replies % Math.ceil(rate) === 0) say(`${replies} of ${count} answered`)
    }
    return offer({ url: address, seconds, streams: [{ body, perSecond: rate }], headers, onReply })
  })
}

/** @returns milliseconds until all runs had ended; null if they take longer than the limit */
async function drain(client: Context['client'], tag: string): Promise<number | null> {
  const startedAt = performance.now()
  for (;;) {
    const { runs } = await client.listRuns({ tag, state: 'running', pageSize: 1 })
    const waitedMs = performance.now() - startedAt
    if (runs.length === 0) return Math.round(waitedMs)
    if (waitedMs > drainLimitMs) return null
    await new Promise((resolve) => setTimeout(resolve, drainPollMs))
  }
}

/** @returns null without samples */
function percentileOf(sorted: readonly number[], percent: number): number | null {
  return sorted.length === 0 ? null : Number(percentile(sorted, percent).toFixed(2))
}

function printReport(report: Awaited<ReturnType<typeof measure>>): void {
  const { tasks, rate, seconds, answered, failed, failures, latencyMs, drainedMs } = report
  const latencies = Object.entries(latencyMs).map(([name, ms]) => `${name} ${msText(ms)}`)
  const causes = Object.entries(failures).map(([cause, count]) => `${cause}: ${count}`)
  print(`load      ${rate} a second for ${seconds} s: ${tasks.join(' ')}`)
  print(`answered  ${answered} of ${answered + failed}${failed === 0 ? '' : `; ${causes.join(', ')}`}`)
  print(`latency   ${latencies.join('   ')}, since due`)
  if (drainedMs === null) print(`jobs      still run after ${duration(drainLimitMs)}`)
  else print(`jobs      ended ${duration(drainedMs)} after the last response`)
}

function msText(ms: number | null): string {
  if (ms === null) return 'n/a'
  return ms < 10 ? `${ms.toFixed(1)} ms` : duration(ms)
}

/** A service in a child process, with a new database on the disk. Both are removed with it. */
interface OwnService extends AsyncDisposable {
  readonly url: string
}

const idleTask = 'noop'
const idleModule = "export default { kind: 'io', run: (input) => input }\n"

/** @param isIdle whether its only task is `idleTask`, in place of those in TASKS_DIR */
async function startOwnService(environment: Environment, isIdle: boolean): Promise<OwnService> {
  const directory = await mkdtemp(join(tmpdir(), 'forerunner-bench-'))
  const tasksDir = join(directory, 'tasks')
  if (isIdle) {
    await mkdir(tasksDir)
    await writeFile(join(tasksDir, `${idleTask}.mjs`), idleModule)
  }
  const child = spawn(process.execPath, [fileURLToPath(new URL('../cli.js', import.meta.url)), 'serve'], {
    env: {
      ...environment,
      HOST: '127.0.0.1',
      PORT: '0',
      API_KEYS: '',
      API_KEYS_READ: '',
      LOG_LEVEL: 'info',
      DATABASE_URL: `sqlite:${join(directory, 'bench.db')}`,
      ...(isIdle && { TASKS_DIR: tasksDir }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  function killAndRemove(): void {
    child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
  process.once('exit', killAndRemove)
  async function dispose(): Promise<void> {
    child.kill('SIGKILL')
    // Until then it may write to the directory.
    await closed
    process.off('exit', killAndRemove)
    killAndRemove()
  }

  const { promise: ready, resolve, reject } = Promise.withResolvers<string>()
  const { stdout: log } = child
  let lastMessage = ''
  // The log is read to its end: a full pipe would block the service.
  createInterface({ input: log }).on('line', (line) => {
    const entry = entryOf(line)
    if (entry === null) return
    lastMessage = entry.msg
    if (lastMessage.startsWith('ready at ')) resolve(String(entry['url']))
  })
  void closed.then(() => reject(new Error(`the service did not start: ${lastMessage}`)))
  try {
    return { url: await ready, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}
