/** For tests of tasks, and of programs that use them: `forerunner/testing`. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { startApp } from '../app.ts'
import type { AnyTasks, TaskMap } from '../client/run-tasks.ts'
import { configOf } from '../config.ts'
import type { Progress } from '../domain/claim.ts'
import { BootError } from '../domain/errors.ts'
import type { AsJson } from '../domain/json.ts'
import type { SchemaInput, TaskContext, TaskDefinition } from '../domain/task.ts'
import { encodeResult } from '../execution/result.ts'
import { readProgress } from '../execution/running-task.ts'
import { createStep, createTaskLog, type TaskLine } from '../execution/task-context.ts'
import { embed, type Forerunner, type ForerunnerOptions } from '../library/forerunner.ts'
import { adaptLogger, createLog } from '../log.ts'
import { isTaskName, loadRegistry, type Registry, registryOf, type TaskModules } from '../tasks/registry.ts'
import { checkInput, checkTask, type Task } from '../tasks/task-module.ts'
import { createInlinePool, createTestClock, type InlinePool } from './inline-pool.ts'
import { createTestTime, type TestTime } from './test-time.ts'

export type { DrainReport, LimitOptions, TestTime, WaitOptions } from './test-time.ts'

/** The settings of `createForerunner` that apply to tests. Default: a database in memory and no log. */
export interface TestOptions extends Omit<
  ForerunnerOptions,
  'tasks' | 'role' | 'firstJobs' | 'threads' | 'ioThreads' | 'ioConcurrency'
> {
  /** Addresses of task modules; default: the tasks in `tasksDir`. */
  readonly tasks?: TaskModules
  /** Time of the clock at the start; default: the system's time. */
  readonly startAt?: Date | number
}

/** The same with task definitions by name. */
export interface TestOptionsOf<Tasks extends TaskMap<Tasks>> extends Omit<TestOptions, 'tasks' | 'tasksDir'> {
  readonly tasks: Tasks
}

/** A service with a clock that only its test moves. */
export interface TestForerunner<Tasks extends TaskMap<Tasks> = AnyTasks> extends Forerunner<Tasks>, TestTime {}

const cancelGraceMs = 100

/**
 * Starts a service that runs all jobs, also the first one, in the thread of the test. Everything else is the same as with
 * worker threads: routes, checks, store, retries and answers.
 * @throws BootError for invalid options or a bad task
 */
export async function startTestForerunner<Tasks extends TaskMap<Tasks> = AnyTasks>(
  options?: TestOptions,
): Promise<TestForerunner<Tasks>>
export async function startTestForerunner<Tasks extends TaskMap<Tasks>>(
  options: TestOptionsOf<Tasks>,
): Promise<TestForerunner<Tasks>>
export async function startTestForerunner(
  options: Omit<TestOptions, 'tasks'> & { readonly tasks?: AnyTasks | TaskModules } = {},
): Promise<TestForerunner> {
  const { tasks, schedules, startAt = Date.now(), logger, prefix, onLost = rethrow, ...settings } = options
  if (tasks !== undefined && settings.tasksDir !== undefined) throw new BootError('give tasks or tasksDir, not both')
  const config = configOf({
    databaseUrl: 'sqlite::memory:',
    logLevel: 'silent',
    shutdownGraceMs: 0,
    cancelGraceMs,
    ...settings,
    firstJobs: 'pool',
  })
  const log = logger === undefined ? createLog(config.logLevel) : adaptLogger(logger)
  const registry = await registryFor(tasks, config.tasksDir)
  const clock = createTestClock(Number(startAt))
  let pool: InlinePool | undefined
  const makePool = (): InlinePool => (pool = createInlinePool({ ...config, clock, log }))
  const forerunner = embed(async (onChange) => {
    const app = await startApp({
      config,
      registry,
      makePool,
      ...(schedules && { schedules }),
      clock,
      log,
      onLost,
      onChange: (change) => onChange(change, log),
    })
    return { app, log }
  }, prefix)
  await forerunner.start()
  if (pool === undefined) throw new Error('the service was started without a pool')
  return { ...forerunner, ...createTestTime({ forerunner, clock, pool }) }
}

async function registryFor(tasks: AnyTasks | TaskModules | undefined, tasksDir: string): Promise<Registry> {
  if (tasks === undefined || tasks instanceof URL) return loadRegistry(tasks ?? tasksDir)
  const addresses: [name: string, URL | string][] = []
  const defined: Task[] = []
  for (const [name, given] of Object.entries(tasks)) {
    if (isAddress(given)) addresses.push([name, given])
    else if (isTaskName(name)) defined.push(checkTask(name, '', given, `the task "${name}"`))
    else throw new BootError(`tasks: "${name}" is no name: 1–64 letters, digits, "-" and "_"`)
  }
  const loaded = await loadRegistry(Object.fromEntries(addresses))
  return registryOf([...defined, ...loaded.all()].toSorted((one, other) => (one.name < other.name ? -1 : 1)))
}

function isAddress(given: unknown): given is URL | string {
  return given instanceof URL || typeof given === 'string'
}

function rethrow(error: Error): never {
  throw error
}

/** What the task gets; each member has a default. */
export interface TestContext extends Partial<Omit<TaskContext, 'progress' | 'log' | 'step'>> {
  /** Values of steps by name, as if an earlier attempt had stored them: their work does not run. */
  readonly steps?: Readonly<Record<string, unknown>>
}

export interface TaskTrial<Result> {
  /** The returned value after JSON, as a caller would get it. */
  readonly result: Result
  /** Every progress that the task reported, in order. */
  readonly progress: readonly Progress[]
  /** Every line that the task logged, in order. */
  readonly log: readonly Pick<TaskLine, 'level' | 'message' | 'fields'>[]
  /** Values of all stored steps by name, after JSON. */
  readonly steps: Readonly<Record<string, unknown>>
}

type RunTaskArguments<Input> = undefined extends Input
  ? [input?: Input, context?: TestContext]
  : [input: Input, context?: TestContext]

/**
 * Checks the input as the service does, runs the task once, and encodes its result as JSON. Rejects with what the task
 * throws. There is no time limit; pass a `signal` to end the task.
 * @throws TypeError if the schema refuses the input, or the result is not JSON
 */
export async function runTask<Schema extends StandardSchemaV1 | undefined, Result>(
  definition: TaskDefinition<Schema, Result>,
  ...[input, given = {}]: RunTaskArguments<SchemaInput<Schema>>
): Promise<TaskTrial<AsJson<Awaited<Result>>>> {
  const { runId = '00000000-0000-7000-8000-000000000000', jobIndex = 0, attempt = 1, after = [], traceparent } = given
  const name = definition.name ?? ''
  const task = checkTask(name, '', definition, name === '' ? 'the task' : name)
  const progress: Progress[] = []
  const log: TaskLine[] = []
  const checked = await checkInput(task, input === undefined ? undefined : JSON.parse(JSON.stringify(input)))
  if (!checked.ok) {
    const issues = checked.issues.map(({ pointer, detail }) => `${pointer || '/'}: ${detail}`)
    throw new TypeError(`the input is refused: ${issues.join('; ')}`)
  }
  const steps = createTrialSteps(given.steps)
  const taskLog = createTaskLog({ runId, jobIndex, attempt, task: name }, (line) => void log.push(line))
  const returned = await task.run(checked.value, {
    signal: given.signal ?? new AbortController().signal,
    progress: (fraction, message) => void progress.push(readProgress(fraction, message)),
    log: taskLog.log,
    step: steps.step,
    after,
    attempt,
    runId,
    jobIndex,
    ...(traceparent !== undefined && { traceparent }),
  })
  taskLog.reportDropped()
  const encoded = encodeResult(returned)
  if (!encoded.ok) throw new TypeError(`the result ${encoded.problem}`)
  return { result: JSON.parse(encoded.text) as AsJson<Awaited<Result>>, progress, log, steps: steps.values() }
}

/** Keeps the steps in memory. @param before values of steps that were stored earlier */
function createTrialSteps(before: Readonly<Record<string, unknown>> = {}) {
  const texts = new Map(Object.entries(before).map(([name, value]) => [name, JSON.stringify(value ?? null)]))
  const step = createStep({
    stored: texts.size,
    steps: {
      async keep({ name, value }) {
        texts.set(name, value)
        return 'kept'
      },
      stored: async () => ({ steps: [...texts].map(([name, value]) => ({ name, value })), next: null }),
    },
    isOver: () => false,
    startedAt: performance.now(),
  })
  return {
    step,
    values: () => Object.fromEntries([...texts].map(([name, text]) => [name, JSON.parse(text) as unknown])),
  }
}
