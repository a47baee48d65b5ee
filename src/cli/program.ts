/** The command line: reads it, runs one command, and ends with its exit code. */
import { Command, CommanderError } from 'commander'
import { version } from '../runtime/package.ts'
import { addBackup, addRestore } from './backup.ts'
import { addBench } from './bench.ts'
import { addCancel, addRetry, addRedeliver, addPrune } from './change.ts'
import {
  type Act,
  type AddCommand,
  createContext,
  defaultUrl,
  type Environment,
  type ExitCode,
  exitCodeOf,
  exitCodes,
  nameIn,
} from './context.ts'
import { addDev } from './dev.ts'
import { addDoctor } from './doctor.ts'
import { addInit, addTypes } from './project.ts'
import { addSchedules } from './schedules.ts'
import { addPause, addResume, addStats, addTasks } from './service.ts'
import { addRun, addWatch } from './run.ts'
import { addRuns, addShow } from './runs.ts'
import { allowClosedPipe, asError, print, styled } from './terminal.ts'
import { existsSync } from 'node:fs'

const guide = `
Exit codes: 0 done; 1 failed; 2 used wrongly; 3 no service there.`

/** forerunner serve: the service, in this process. */
const addServe: AddCommand = (program, act) => {
  program
    .command('serve')
    .description('run the service here, set up by environment variables (DATABASE_URL, TASKS_DIR, PORT, …)')
    .action(
      act(async ({ environment }) => {
        const { serve } = await import('../process/serve.ts')
        // From here on the process ends by itself.
        await serve(environment)
        return exitCodes.done
      }),
    )
}

/** In the order in which they are shown. */
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
  const optionsOf = () => program.opts<{ url?: string; json?: boolean }>()

  const act: Act =
    (run) =>
    async (...given) => {
      exitCode = await run(createContext(optionsOf(), environment), ...given)
    }

  program
    .description('Runs tasks durably: answers with the first result, and does the rest in worker threads.')
    .version(version)
    .option('--url <url>', 'of the service (FORERUNNER_URL; default: http://127.0.0.1:3000)')
    .option('--json', 'print JSON and nothing else')
    .configureHelp({
      showGlobalOptions: true,
      styleTitle: (text) => styled('bold', text),
      styleCommandText: (text) => styled('cyan', text),
      styleSubcommandTerm: (text) => styled('cyan', text),
    })
    .configureOutput({ outputError: (text, write) => write(asError(text)) })
    .showHelpAfterError(`(see ${name} --help)`)
    .addHelpText('after', guide)
    .exitOverride()
  for (const [heading, commands] of Object.entries(groups)) {
    program.commandsGroup(heading)
    for (const add of commands) add(program, act)
  }
  for (const command of program.commands) {
    command.showHelpAfterError(`(see ${name} ${command.name()} --help)`)
    for (const part of command.commands)
      part.showHelpAfterError(`(see ${name} ${command.name()} ${part.name()} --help)`)
  }
  program.commandsGroup('Help:').helpCommand('help [command]', 'show the help of a command')

  try {
    if (argv.length === 0) {
      const text = welcome(environment)
      if (text === null) program.outputHelp()
      else print(text)
      return exitCodes.done
    }
    await program.parseAsync(argv, { from: 'user' })
    return exitCode
  } catch (error) {
    const { url = environment['FORERUNNER_URL'] ?? '', json = false } = optionsOf()
    const isJson = json && !(error instanceof CommanderError)
    return exitCodeOf(error, { url: url || defaultUrl, isJson, name })
  }
}

/** What `forerunner` alone says where there is no project yet. */
const steps = [
  ['npx forerunner init', 'writes a task, its test, scripts and a Dockerfile'],
  ['npm install', ''],
  ['npm start', 'runs the service, at http://127.0.0.1:3000'],
  ['npx forerunner run hello --watch', 'in another terminal'],
] as const

/** @returns null where there is a project, whose reader wants to know the commands */
export function welcome({ TASKS_DIR: tasksDir }: Environment): string | null {
  if (existsSync(tasksDir || 'workers')) return null
  return [
    `${styled('bold', `forerunner ${version}`)}  answers with the first task's result, and runs the rest durably`,
    '',
    'There is no project in this folder yet. To begin:',
    '',
    ...steps.map(([what, why]) => `  ${styled('cyan', what.padEnd(34))}${styled('dim', why)}`.trimEnd()),
    '',
    'All commands: npx forerunner --help',
  ].join('\n')
}
