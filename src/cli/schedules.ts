/** forerunner schedules: list, show, put, pause, resume, run and remove schedules. */
import { Option } from 'commander'
import type { ScheduleView } from '../client/client.ts'
import { type MissedPolicy, missedPolicies } from '../domain/schedule.ts'
import type { AddCommand, Context } from './context.ts'
import { age, duration, printRun } from './run-lines.ts'
import { requestOf, type RequestOptions } from './run.ts'
import { clean, complain, print, printJson, styled, table } from './terminal.ts'

interface PutOptions extends RequestOptions {
  readonly timeZone?: string
  readonly missed?: MissedPolicy
  readonly paused?: true
}

export const addSchedules: AddCommand = (program, act) => {
  const schedules = program.command('schedules').description('list the schedules of the service, or change one')

  /** Adds a command that prints one schedule. */
  function addOne(
    verb: string,
    description: string,
    call: (client: Context['client'], name: string) => Promise<ScheduleView>,
  ): void {
    schedules
      .command(`${verb} <name>`)
      .description(description)
      .action(act(async (context: Context, name: string) => printSchedule(context, await call(context.client, name))))
  }

  schedules.command('list', { isDefault: true }).description('list all schedules by name').action(act(listSchedules))
  addOne('show', 'show a schedule', (client, name) => client.getSchedule(name))
  schedules
    .command('put')
    .description('create or replace a schedule')
    .argument('<name>', 'name of the schedule')
    .argument('<cron>', 'when it ticks, such as "30 6 * * 1-5"')
    .argument('<task...>', 'names of the tasks of each run')
    .option('--time-zone <zone>', 'such as Europe/Berlin; default: UTC')
    .addOption(
      new Option('--missed <policy>', 'what to do about ticks that passed while no service ran').choices(
        missedPolicies,
      ),
    )
    .option('--paused', 'make no runs until it is resumed')
    .option('--input <file>', 'JSON input for each task; - reads standard input')
    .option('--tag <tag...>', 'tags of each run')
    .action(
      act(async (context: Context, name: string, cron: string, tasks: string[], options: PutOptions) => {
        const { input: _input, tag: _tag, ...members } = options
        const request = await requestOf(tasks, options)
        printSchedule(context, await context.client.putSchedule(name, { cron, ...members, request }))
      }),
    )
  addOne('pause', 'let ticks pass without a run until it is resumed', (client, name) => client.pauseSchedule(name))
  addOne('resume', 'let a paused schedule make runs again', (client, name) => client.resumeSchedule(name))
  schedules
    .command('run <name>')
    .description('make a run now; it does not count as a tick')
    .action(act(async (context: Context, name: string) => printRun(context, await context.client.runSchedule(name))))
  schedules
    .command('remove <name>')
    .description('remove a schedule; its runs stay')
    .action(
      act(async ({ client, isJson }: Context, name: string) => {
        await client.removeSchedule(name)
        if (isJson) printJson({ name })
        else print(`${clean(name)} is removed; its runs stay`)
      }),
    )
}

async function listSchedules({ client, isJson, glyphs }: Context): Promise<void> {
  const schedules = await client.listSchedules()
  if (isJson) return printJson({ schedules })
  if (schedules.length === 0) return complain('there are no schedules')
  const rows = schedules.map((schedule) => [
    schedule.name,
    clean(schedule.cron),
    schedule.timeZone,
    nextText(schedule),
    schedule.lastAt === null ? '' : age(Date.now() - Date.parse(schedule.lastAt)),
    taskNames(schedule),
    schedule.problem === null ? '' : styled('red', schedule.problem.code),
  ])
  print(table(['schedule', 'cron', 'time zone', 'next', 'last', 'tasks', 'problem'], rows, glyphs.ellipsis))
}

function printSchedule({ isJson }: Context, schedule: ScheduleView): void {
  if (isJson) return printJson(schedule)
  const { name, cron, timeZone, missed, lastAt, lastRunId, problem } = schedule
  print(`${styled('bold', clean(name))}  ${clean(cron)}  ${timeZone}`)
  print(`tasks   ${taskNames(schedule)}`)
  print(`next    ${nextText(schedule)}`)
  print(`last    ${lastAt === null ? 'none yet' : `${lastAt}  ${lastRunId ?? ''}`}`)
  print(`missed  ${missed}`)
  if (problem !== null) print(`${styled('red', problem.code)} at ${problem.at}: ${clean(problem.detail)}`)
}

function nextText({ nextAt, paused }: ScheduleView): string {
  if (nextAt === null) return paused ? 'paused' : 'never'
  return `${nextAt} (in ${duration(Date.parse(nextAt) - Date.now())})`
}

function taskNames({ request }: ScheduleView): string {
  return request.tasks.map(({ name }) => clean(name)).join(', ')
}
