/** forerunner watch: shows a run until it ends. A terminal is redrawn at each change; other output gets one line per change. */
import type { RunView } from '../client/client.ts'
import type { AddCommand, Context } from './context.ts'
import { exitCodes, type ExitCode } from './exit-code.ts'
import { duration, fit, runLines, stateText } from './run-lines.ts'
import { createLiveScreen, type LiveScreen } from './live-screen.ts'
import { clean, complain, isInteractive, print, printJson, screenRows, styled } from './terminal.ts'

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
