/** forerunner tasks, stats, pause and resume: what the service says of itself, and whether jobs of a task start. */
import { type AddCommand, type Context, exitCodes } from './context.ts'
import { duration } from './run-lines.ts'
import { print, printJson, table } from './terminal.ts'
import type { TaskView } from '../client/client.ts'

export const addTasks: AddCommand = (program, act) => {
  program
    .command('tasks')
    .description('list the tasks of the service')
    .action(
      act(async ({ client, isJson, glyphs }: Context) => {
        const tasks = await client.listTasks()
        if (isJson) printJson({ tasks })
        else {
          const hasPaused = tasks.some(({ paused }) => paused)
          const rows = tasks.map(({ name, kind, timeoutMs, maxAttempts, main, paused, input }) => [
            name,
            kind,
            duration(timeoutMs),
            String(maxAttempts),
            main,
            ...(hasPaused ? [paused ? 'paused' : ''] : []),
            input === null ? 'anything' : Object.keys(Object(input['properties'])).join(', ') || 'a JSON value',
          ])
          const state = hasPaused ? ['state'] : []
          print(table(['task', 'kind', 'timeout', 'attempts', 'main', ...state, 'input'], rows, glyphs.ellipsis))
        }
        return exitCodes.done
      }),
    )
}

export const addStats: AddCommand = (program, act) => {
  program
    .command('stats')
    .description('show counts of runs, jobs and threads')
    .action(
      act(async ({ client, isJson }: Context) => {
        const stats = await client.stats()
        if (isJson) printJson(stats)
        else {
          const { runs, jobs, backlog, oldestQueuedMs, threads, eventLoopDelayMs } = stats
          const counts = (byState: object): string =>
            Object.entries(byState)
              .map(([state, count]) => `${state} ${count}`)
              .join(', ')
          const busy = threads.filter(({ running }) => running > 0).length
          print(`runs     ${counts(runs)}`)
          print(`jobs     ${counts(jobs)}`)
          print(`backlog  ${backlog}${oldestQueuedMs === null ? '' : `, oldest ${duration(oldestQueuedMs)}`}`)
          print(`threads  ${busy} of ${threads.length} busy`)
          print(
            `loop     delayed by ${eventLoopDelayMs.p50} ms (p50), ${eventLoopDelayMs.p99} ms (p99), ${eventLoopDelayMs.max} ms (max)`,
          )
        }
        return exitCodes.done
      }),
    )
}

/** forerunner pause and resume: whether jobs of a task start. */
interface Change {
  readonly name: 'pause' | 'resume'
  readonly description: string
  readonly done: string
  set(client: Context['client'], task: string): Promise<TaskView>
}

function add({ name, description, done, set }: Change): AddCommand {
  return (program, act) => {
    program
      .command(name)
      .description(description)
      .argument('<task>', 'its name')
      .action(
        act(async ({ client, isJson }: Context, task: string) => {
          const view = await set(client, task)
          if (isJson) printJson(view)
          else print(`${view.name} ${done}`)
          return exitCodes.done
        }),
      )
  }
}

export const addPause = add({
  name: 'pause',
  description: 'have no job of a task start until it is resumed',
  done: 'is paused: its jobs wait until it is resumed',
  set: (client, task) => client.pauseTask(task),
})

export const addResume = add({
  name: 'resume',
  description: 'let the jobs of a paused task start again',
  done: 'is not paused: its jobs start',
  set: (client, task) => client.resumeTask(task),
})
