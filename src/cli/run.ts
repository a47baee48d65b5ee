/** forerunner run and watch: run tasks and show the answer, or follow a run until it ends. */
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { Option } from 'commander'
import type { RunInput, RunView } from '../client/client.ts'
import { messageOf } from '../domain/errors.ts'
import { prettyJson, RawJson, writeJson } from '../domain/json.ts'
import { type RespondMode, respondModes } from '../domain/run.ts'
import { type AddCommand, type Context, type ExitCode, exitCodes, UsageError } from './context.ts'
import { duration, fit, printRun, runLines, stateText } from './run-lines.ts'
import {
  clean,
  complain,
  exitOnSignals,
  isInteractive,
  onResize,
  print,
  printJson,
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
    .description('run tasks; exit code 1 if the first one fails, or with --watch if the run does not complete')
    .argument('<task...>', 'names of tasks; the first one answers')
    .option('--input <file>', 'JSON input for each task; - reads standard input')
    .option('--watch', 'follow the run until it ends; its first task then also runs in a worker thread')
    .option('--tag <tag...>', 'tags of the run')
    .addOption(new Option('--respond <mode>', 'which jobs decide the answer').choices(respondModes))
    .action(
      act(async (context: Context, tasks: string[], { watch, respond, ...options }: RunOptions) => {
        const { client, isJson } = context
        const request = { ...(await requestOf(tasks, options)), ...(respond !== undefined && { respond }) }
        if (watch === true) return watchRun(context, (await client.enqueue(request)).id)
        const run = await client.runTasks(request)
        printRun(context, run)
        const result = run.results ?? run.result
        if (!isJson && result !== undefined) print(prettyJson(writeJson(result)))
        return exitCodes.done
      }),
    )
}

/** A request for these tasks, each with the same input. */
export async function requestOf(
  names: readonly string[],
  { input, tag: tags }: RequestOptions,
): Promise<Pick<RunInput, 'tasks' | 'tags'>> {
  const given = input === undefined ? {} : { input: await readJson(input) }
  return { tasks: names.map((name) => ({ name, ...given })), ...(tags !== undefined && { tags }) }
}

/** Reads JSON that is sent exactly as it is. @param file `-` for standard input */
export async function readJson(file: string): Promise<RawJson> {
  const json = await (file === '-' ? text(process.stdin) : readFile(file, 'utf8')).catch((error: unknown) => {
    throw new UsageError(`the input cannot be read: ${messageOf(error)}`)
  })
  try {
    return new RawJson(json, JSON.parse(json))
  } catch (error) {
    throw new UsageError(`the input is no JSON: ${messageOf(error)}`)
  }
}

export const addWatch: AddCommand = (program, act) => {
  program
    .command('watch')
    .description('follow a run until it ends; exit code 1 unless it completes')
    .argument('[id]', 'id of the run; default: the newest one')
    .action(
      act(async (context: Context, given: string | undefined) => {
        const id = given ?? (await context.client.listRuns({ pageSize: 1 })).runs[0]?.id
        if (id !== undefined) return watchRun(context, id)
        complain('there are no runs yet')
        return exitCodes.failed
      }),
    )
}

/** Lines of the screen that show no job: head, blank, jobs left out, answer, lost connection, and the cursor's. */
const otherLines = 6

/** Repaints a terminal at each change and as time passes. Other output gets a line per change. */
async function watchRun(context: Context, id: string): Promise<ExitCode> {
  const { client, isJson, glyphs, name, url, unreachableSince } = context
  const isLive = !isJson && isInteractive()
  const progress = new Map<number, { readonly progress: number; readonly message?: string }>()
  let run: RunView | undefined
  let screen: ReturnType<typeof createLiveScreen> | undefined

  function lines(): readonly string[] {
    if (run === undefined) return []
    const since = unreachableSince()
    // The state of the run after that moment is not known.
    const now = since ?? Date.now()
    const shown = runLines(run, { glyphs, progress, now, maxLines: screenRows() - otherLines })
    if (since === null) return shown
    const wholeSeconds = Math.floor((Date.now() - since) / 1_000) * 1_000
    const warning = `  ${url} has not answered for ${duration(wholeSeconds)}; trying again`
    return [...shown, fit(styled('yellow', warning), glyphs)]
  }

  try {
    for await (const event of client.watch(id)) {
      if (isJson) printJson(event.type === 'run' ? event.run : event)
      if (event.type === 'progress') progress.set(event.jobIndex, event)
      else {
        if (!isLive && !isJson) printChanges(run, event.run)
        run = event.run
        if (isLive) screen ??= createLiveScreen(lines, `the run goes on: ${name} watch ${id}`)
      }
      screen?.paint()
    }
  } finally {
    screen?.end()
  }
  if (run === undefined) throw new Error(`the run ${id} could not be watched`)
  return run.state === 'completed' ? exitCodes.done : exitCodes.failed
}

function printChanges(before: RunView | undefined, run: RunView): void {
  for (const job of run.jobs) {
    const known = before?.jobs[job.index]
    if (known?.state === job.state && known.attempt === job.attempt) continue
    const why = job.error === null ? '' : `  ${job.error.code}: ${clean(job.error.message)}`
    print(`job ${job.index}  ${job.task}  ${stateText(job.state)}${why}`)
  }
  const wasAnswered = (before?.answer ?? null) !== null
  if (!wasAnswered && run.answer !== null) print('answered')
  if (before?.state !== run.state) print(`run ${run.id}  ${stateText(run.state)}`)
}

const repaintMs = 120
const [hideCursor, showCursor] = ['\u001B[?25l', '\u001B[?25h']
const clearScreen = '\u001B[2J\u001B[H'

/**
 * Lines that are painted over each other on a terminal.
 * @param linesOf lines that fit on the terminal
 * @param farewell printed at Ctrl-C
 */
function createLiveScreen(linesOf: () => readonly string[], farewell: string) {
  let height = 0
  let isResized = false

  function paint(): void {
    const lines = linesOf()
    // After a resize, no line is where it was painted.
    const toTop = isResized ? clearScreen : height > 0 ? `\u001B[${height}A` : ''
    isResized = false
    // Each line erases the rest of the old line in its place: erasing the whole screen first would flicker.
    write(`${toTop}${lines.map((line) => `${line}\u001B[K\n`).join('')}\u001B[J`)
    height = lines.length
  }

  const restoreCursor = (): void => write(showCursor)
  write(hideCursor)
  process.once('exit', restoreCursor)
  const stopListening = onResize(() => (isResized = true))
  exitOnSignals(() => print(farewell))
  const timer = setInterval(paint, repaintMs)

  return {
    paint,
    end(): void {
      clearInterval(timer)
      stopListening()
      paint()
      process.off('exit', restoreCursor)
      restoreCursor()
    },
  }
}
