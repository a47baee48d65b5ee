/** forerunner run and watch: run tasks and show the answer, and follow a run until it ends. */
import { readFile } from 'node:fs/promises'
import { Option } from 'commander'
import { messageOf } from '../domain/errors.ts'
import type { RunInput, RunView } from '../client/client.ts'
import { prettyJson, RawJson, writeJson } from '../domain/json.ts'
import { type RespondMode, respondModes } from '../domain/run.ts'
import { type AddCommand, type Context, type ExitCode, exitCodes, UsageError } from './context.ts'
import { duration, fit, runLines, stateText } from './run-lines.ts'
import {
  clean,
  complain,
  endWithSignals,
  isInteractive,
  onResize,
  print,
  printJson,
  readInput,
  screenRows,
  styled,
  write,
} from './terminal.ts'

export interface RequestOptions {
  readonly input?: string
  readonly tag?: string[]
}

interface RunOptions extends RequestOptions {
  readonly watch?: true
  readonly respond?: RespondMode
}

export const addRun: AddCommand = (program, act) => {
  program
    .command('run')
    .description('run tasks; exit code 1 when the first fails, or with --watch when the run does not complete')
    .argument('<task...>', 'the first answers, the others go on')
    .option('--input <file>', 'JSON for each of the tasks; - for standard input')
    .option('--watch', 'follow the run until it ends; its first task then runs in a worker thread, too')
    .option('--tag <tag...>', 'of the run')
    .addOption(new Option('--respond <mode>', 'what the answer is').choices(respondModes))
    .action(
      act(async (context: Context, tasks: string[], { watch, respond, ...options }: RunOptions) => {
        const request = { ...(await requestOf(tasks, options)), ...(respond !== undefined && { respond }) }
        const { client, isJson, glyphs } = context
        if (watch === true) return watchRun(context, (await client.enqueue(request)).id)
        const run = await client.runTasks(request)
        if (isJson) printJson(run)
        else {
          for (const line of runLines(run, { glyphs })) print(line)
          const result = run.results ?? run.result
          if (result !== undefined) print(prettyJson(writeJson(result)))
        }
        return exitCodes.done
      }),
    )
}

/** What the caller asks for: these tasks, each with the same input. */
export async function requestOf(
  names: readonly string[],
  { input, tag }: RequestOptions,
): Promise<Pick<RunInput, 'tasks' | 'tags'>> {
  const given = input === undefined ? {} : { input: await readJson(input) }
  return {
    tasks: names.map((name) => ({ name, ...given })),
    ...(tag !== undefined && { tags: tag }),
  }
}

/** JSON of a file, to be sent as it is. @param file `-` for standard input */
export async function readJson(file: string): Promise<RawJson> {
  const text = await read(file)
  try {
    return new RawJson(text, JSON.parse(text))
  } catch (error) {
    throw new UsageError(`the input is no JSON: ${messageOf(error)}`)
  }
}

async function read(file: string): Promise<string> {
  if (file === '-') return readInput()
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new UsageError(`the input cannot be read: ${messageOf(error)}`)
  }
}

export const addWatch: AddCommand = (program, act) => {
  program
    .command('watch')
    .description('follow a run until it ends; exit code 1 unless it completes')
    .argument('[id]', 'of the run; default: the newest one')
    .action(
      act(async (context: Context, id: string | undefined) => {
        const [newest] = id === undefined ? (await context.client.listRuns({ pageSize: 1 })).runs : []
        const watched = id ?? newest?.id
        if (watched !== undefined) return watchRun(context, watched)
        complain('there are no runs yet')
        return exitCodes.failed
      }),
    )
}

/** Besides the lines of jobs: the first, a blank, what is left out, the answer, a lost connection, and the cursor's. */
const otherLines = 6

export async function watchRun({ client, isJson, glyphs, name, url, lostAt }: Context, id: string): Promise<ExitCode> {
  const progress = new Map<number, { readonly progress: number; readonly message?: string }>()
  let last: RunView | undefined
  let screen: LiveScreen | undefined

  function lines(): readonly string[] {
    if (last === undefined) return []
    const lost = lostAt()
    // What has become of it since then is not known.
    const now = lost ?? Date.now()
    const whole = runLines(last, { glyphs, progress, now, maxLines: screenRows() - otherLines })
    if (lost === null) return whole
    const forText = duration(Math.floor((Date.now() - lost) / 1_000) * 1_000)
    return [...whole, fit(styled('yellow', `  ${url} has not answered for ${forText}; trying again`), glyphs)]
  }

  try {
    for await (const event of client.watch(id)) {
      if (isJson) printJson(event.type === 'run' ? event.run : event)
      if (event.type === 'progress') progress.set(event.jobIndex, event)
      else {
        if (!isLive(isJson) && !isJson) printChanges(last, event.run)
        last = event.run
        if (isLive(isJson)) screen ??= createLiveScreen(lines, `the run goes on: ${name} watch ${id}`)
      }
      screen?.paint()
    }
  } finally {
    screen?.end()
  }
  if (last === undefined) throw new Error(`the run ${id} could not be watched`)
  return last.state === 'completed' ? exitCodes.done : exitCodes.failed
}

function isLive(isJson: boolean): boolean {
  return !isJson && isInteractive()
}

function printChanges(before: RunView | undefined, run: RunView): void {
  for (const job of run.jobs) {
    const known = before?.jobs[job.index]
    if (known?.state === job.state && known.attempt === job.attempt) continue
    const why = job.error === null ? '' : `  ${job.error.code}: ${clean(job.error.message)}`
    print(`job ${job.index}  ${job.task}  ${stateText(job.state)}${why}`)
  }
  if (before?.answer == null && run.answer !== null) print('answered')
  if (before?.state !== run.state) print(`run ${run.id}  ${stateText(run.state)}`)
}

/** Lines that are painted over each other on a terminal, at each change and as time goes by. */
interface LiveScreen {
  /** Paints now. */
  paint(): void
  /** Paints for the last time, and gives the cursor back. */
  end(): void
}

const everyMs = 120
const [hideCursor, showCursor] = ['\u001B[?25l', '\u001B[?25h']
/** Of a screen that has another size now, nothing is where it was. */
const clearScreen = '\u001B[2J\u001B[H'

/**
 * @param linesOf what to paint; no line is wider than the terminal, and all of them fit
 * @param farewell said when somebody leaves by Ctrl-C
 */
function createLiveScreen(linesOf: () => readonly string[], farewell: string): LiveScreen {
  let height = 0
  let isResized = false

  function paint(): void {
    const lines = linesOf()
    const back = isResized ? clearScreen : height > 0 ? `\u001B[${height}A` : ''
    isResized = false
    // Each line clears what is left of the one before it: erasing all of it first would flicker.
    write(`${back}${lines.map((line) => `${line}\u001B[K\n`).join('')}\u001B[J`)
    height = lines.length
  }

  write(hideCursor)
  const restore = (): void => write(showCursor)
  process.once('exit', restore)
  endWithSignals(() => print(farewell))
  const forget = onResize(() => (isResized = true))
  const timer = setInterval(paint, everyMs)

  return {
    paint,
    end() {
      clearInterval(timer)
      forget()
      paint()
      process.off('exit', restore)
      restore()
    },
  }
}
