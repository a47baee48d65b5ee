/** The command line: parses the arguments, runs one command, reports its failure, and returns its exit code. */
import { existsSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { ProblemError } from '../client/transport.ts'
import { messageOf } from '../domain/errors.ts'
import { version } from '../runtime/package.ts'
import { addBackup, addRestore } from './backup.ts'
import { addBench } from './bench.ts'
import { addCancel, addPrune, addRedeliver, addRetry } from './change.ts'
import {
  type Act,
  type AddCommand,
  addressOf,
  type ConnectionOptions,
  createContext,
  type Environment,
  type ExitCode,
  exitCodes,
  isConnectionError,
  nameIn,
  NoServiceError,
  UsageError,
} from './context.ts'
import { addDev } from './dev.ts'
import { addDoctor } from './doctor.ts'
import { addInit, addTypes, stepLines } from './project.ts'
import { addRun, addWatch } from './run.ts'
import { addRuns, addShow } from './runs.ts'
import { addSchedules } from './schedules.ts'
import { addPause, addResume, addStats, addTasks } from './service.ts'
import { allowClosedPipe, asError, clean, complain, print, printJson, styled } from './terminal.ts'

/** forerunner serve: runs the service in this process. */
const addServe: AddCommand = (program, act) => {
  program
    .command('serve')
    .description(
      'run the service in this process, configured by environment variables (DATABASE_URL, TASKS_DIR, PORT, …)',
    )
    .action(
      act(async ({ environment }) => {
        const { serve } = await import('../process/serve.ts')
        await serve(environment)
      }),
    )
}

/** In the order of the help. */
const groups: Readonly<Record<string, readonly AddCommand[]>> = {
  'Your project:': [addInit, addDev, addServe, addTypes],
  'Runs:': [addRun, addRuns, addShow, addWatch, addCancel, addRetry, addRedeliver, addPrune],
  'The service:': [addTasks, addPause, addResume, addSchedules, addStats, addDoctor, addBackup, addRestore, addBench],
}

/** @param argv without the names of Node and of the script */
export async function runCommand(argv: readonly string[], environment: Environment): Promise<ExitCode> {
  allowClosedPipe()
  const name = nameIn(environment)
  const program = new Command(name)
  let exitCode: ExitCode = exitCodes.done
  const optionsOf = () => program.opts<ConnectionOptions>()
  const act: Act =
    (run) =>
    async (...given) => {
      exitCode = (await run(createContext(optionsOf(), environment), ...given)) ?? exitCodes.done
    }
  describe(program, name)
  addCommands(program, act, name)
  try {
    if (argv.length > 0) await program.parseAsync(argv, { from: 'user' })
    else if (existsSync(environment['TASKS_DIR'] || 'workers')) program.outputHelp()
    else print(welcome())
    return exitCode
  } catch (error) {
    const isJson = optionsOf().json === true
    return reportFailure(error, { name, url: addressOf(optionsOf(), environment), isJson })
  }
}

function describe(program: Command, name: string): void {
  program
    .description('Runs tasks durably: answers with the first result, and does the rest in worker threads.')
    .version(version)
    .option('--url <url>', 'address of the service (FORERUNNER_URL; default: http://127.0.0.1:3000)')
    .option('--json', 'print only JSON')
    .configureHelp({
      showGlobalOptions: true,
      styleTitle: (text) => styled('bold', text),
      styleCommandText: (text) => styled('cyan', text),
      styleSubcommandTerm: (text) => styled('cyan', text),
    })
    .configureOutput({ outputError: (text, write) => write(asError(text)) })
    .showHelpAfterError(`(see ${name} --help)`)
    .addHelpText('after', '\nExit codes: 0 done; 1 failed; 2 used wrongly; 3 no service there.')
    .exitOverride()
}

function addCommands(program: Command, act: Act, name: string): void {
  for (const [heading, commands] of Object.entries(groups)) {
    program.commandsGroup(heading)
    for (const add of commands) add(program, act)
  }
  for (const command of program.commands) {
    const path = `${name} ${command.name()}`
    command.showHelpAfterError(`(see ${path} --help)`)
    for (const part of command.commands) part.showHelpAfterError(`(see ${path} ${part.name()} --help)`)
  }
  program.commandsGroup('Help:').helpCommand('help [command]', 'show the help of a command')
}

/** Printed by `forerunner` alone if the directory has no project. */
function welcome(): string {
  return [
    `${styled('bold', `forerunner ${version}`)}  answers with the first task's result, and runs the rest durably`,
    '',
    'There is no project in this folder yet. To begin:',
    '',
    ...stepLines([
      ['npx forerunner init', 'writes a task, its test, scripts and a Dockerfile'],
      ['npm install', ''],
      ['npm start', 'runs the service, at http://127.0.0.1:3000'],
      ['npx forerunner run hello --watch', 'in another terminal'],
    ]),
    '',
    'All commands: npx forerunner --help',
  ].join('\n')
}

interface FailedCommand {
  readonly name: string
  readonly url: string
  readonly isJson: boolean
}

function reportFailure(error: unknown, command: FailedCommand): ExitCode {
  // Commander has already printed its message, or the help that was requested.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usedWrongly
  if (error instanceof ProblemError) return reportProblem(error, command)
  if (error instanceof NoServiceError || isConnectionError(error)) {
    const code: unknown = Reflect.get(Object(error.cause), 'code')
    complain(asError(`no service answers at ${command.url}: ${typeof code === 'string' ? code : error.message}`))
    complain(`start one with "${command.name} serve", or say where it is with --url or FORERUNNER_URL`)
    return exitCodes.noService
  }
  complain(asError(messageOf(error)))
  return error instanceof UsageError ? exitCodes.usedWrongly : exitCodes.failed
}

function reportProblem({ problem, code, status, runId }: ProblemError, { name, isJson }: FailedCommand): ExitCode {
  if (isJson) printJson(problem)
  const { detail, errors = [] } = problem
  complain(`${asError(`${code}:`)} ${clean(detail)}`)
  for (const issue of errors) {
    if (!detail.includes(issue.detail)) complain(`  ${clean(issue.pointer)}: ${clean(issue.detail)}`)
  }
  if (runId !== undefined) complain(`see it with: ${name} show ${runId}`)
  if (code === 'schedule-not-found') complain(`see which there are with: ${name} schedules`)
  const isUnknownTask = code === 'unknown-task' || code === 'task-not-found'
  if (isUnknownTask) complain(`see which there are with: ${name} tasks`)
  // With the id of a run, the status may be that of its failed first task.
  const isWrongRequest = runId === undefined && (isUnknownTask || status === 400 || status === 422)
  return isWrongRequest ? exitCodes.usedWrongly : exitCodes.failed
}
