/** The library's entry. Importing it loads neither server nor store, because threads import it for `defineTask`. */
import type { AnyTasks, TaskMap } from './client/run-tasks.ts'
import { BootError } from './domain/errors.ts'
import { embed, type Forerunner, type ForerunnerOptions, leave } from './library/forerunner.ts'
import { nodeIsTooOld } from './runtime/package.ts'

export type * from './client/client.ts'
export { ProblemError } from './client/transport.ts'
export { BootError } from './domain/errors.ts'
export {
  type DefinedTask,
  defineTask,
  type StepFunction,
  type TaskContext,
  type TaskDefinition,
  type TaskLog,
} from './domain/task.ts'
export type { TaskSchedule } from './domain/schedule.ts'
export type { Handler } from './http/server.ts'
export type { RunEvent, RunEventMap, RunEvents } from './library/events.ts'
export type { Forerunner, ForerunnerOptions, PlaceOptions } from './library/forerunner.ts'
export type { Logger } from './log.ts'
export type { TaskModules } from './tasks/registry.ts'

/**
 * A service inside your own process. Several can run side by side, each with its own database.
 * @throws BootError for an invalid prefix, here and where it is mounted
 */
export function createForerunner<Tasks extends TaskMap<Tasks> = AnyTasks>(
  options?: ForerunnerOptions<Tasks>,
): Forerunner<Tasks>
export function createForerunner(options: ForerunnerOptions = {}): Forerunner {
  const { onLost = rethrow, prefix, logger, tasks, schedules, ...settings } = options
  return embed(async (onChange) => {
    const refusal = nodeIsTooOld(process.versions.node)
    if (refusal !== null) throw new BootError(refusal)
    const [{ startApp }, { configOf, doubtsAbout, optionName }, { adaptLogger, createLog }] = await Promise.all([
      import('./app.ts'),
      import('./config.ts'),
      import('./log.ts'),
    ])
    if (tasks !== undefined && settings.tasksDir !== undefined) throw new BootError('give tasks or tasksDir, not both')
    const config = configOf(settings)
    const log = logger === undefined ? createLog(config.logLevel) : adaptLogger(logger)
    for (const doubt of doubtsAbout(config, optionName)) log.warn(doubt)
    const app = await startApp({
      config,
      ...(tasks && { tasks }),
      ...(schedules && { schedules }),
      log,
      onLost,
      onChange: (change) => onChange(change, log),
    })
    try {
      await app.loadOnThreads()
    } catch (error) {
      await leave(app)
      throw error
    }
    return { app, log }
  }, prefix)
}

function rethrow(error: Error): never {
  throw error
}
