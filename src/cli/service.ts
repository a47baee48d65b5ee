/** forerunner tasks, stats, pause and resume: show the tasks and counts of the service, and pause a task. */
import type { StatsView, TaskView } from '../client/client.ts'
import type { AddCommand, Context } from './context.ts'
import { duration } from './run-lines.ts'
import { print, printJson, table } from './terminal.ts'

export const addTasks: AddCommand = (program, act) => {
  program
    .command('tasks')
    .description('list the tasks of the service')
    .action(
      act(async ({ client, isJson, glyphs }: Context) => {
        const tasks = await client.listTasks()
        if (isJson) printJson({ tasks })
        else print(taskTable(tasks, glyphs.ellipsis))
      }),
    )
}

function taskTable(tasks: readonly TaskView[], ellipsis: string): string {
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
  const heading = ['task', 'kind', 'timeout', 'attempts', 'main', ...(hasPaused ? ['state'] : []), 'input']
  return table(heading, rows, ellipsis)
}

export const addStats: AddCommand = (program, act) => {
  program
    .command('stats')
    .description('show counts of runs, jobs and threads')
    .action(
      act(async ({ client, isJson }: Context) => {
        const stats = await client.stats()
        if (isJson) printJson(stats)
        else print(statsText(stats))
      }),
    )
}

function statsText({ runs, jobs, backlog, oldestQueuedMs, threads, eventLoopDelayMs }: StatsView): string {
  const countsText = (counts: object) =>
    Object.entries(counts)
      .map(([state, count]) => `${state} ${count}`)
      .join(', ')
  const busy = threads.filter(({ running }) => running > 0).length
  const { p50, p99, max } = eventLoopDelayMs
  return [
    `runs     ${countsText(runs)}`,
    `jobs     ${countsText(jobs)}`,
    `backlog  ${backlog}${oldestQueuedMs === null ? '' : `, oldest ${duration(oldestQueuedMs)}`}`,
    `threads  ${busy} of ${threads.length} busy`,
    `loop     delayed by ${p50} ms (p50), ${p99} ms (p99), ${max} ms (max)`,
  ].join('\n')
}

interface TaskChange {
  readonly verb: 'pause' | 'resume'
  readonly description: string
  readonly done: string
  change(client: Context['client'], task: string): Promise<TaskView>
}

function addTaskChange({ verb, description, done, change }: TaskChange): AddCommand {
  return (program, act) => {
    program
      .command(verb)
      .description(description)
      .argument('<task>', 'name of the task')
      .action(
        act(async ({ client, isJson }: Context, name: string) => {
          const task = await change(client, name)
          if (isJson) printJson(task)
          else print(`${task.name} ${done}`)
        }),
      )
  }
}

export const addPause = addTaskChange({
  verb: 'pause',
  description: 'start no job of a task until it is resumed',
  done: 'is paused: its jobs wait until it is resumed',
  change: (client, task) => client.pauseTask(task),
})

export const addResume = addTaskChange({
  verb: 'resume',
  description: 'let the jobs of a paused task start again',
  done: 'is not paused: its jobs start',
  change: (client, task) => client.resumeTask(task),
})
