/** For tests of tasks, and of programs that use them: `forerunner/testing`. */
import type { AnyTasks, TaskMap } from '../client/run-tasks.ts'
import type { AsJson } from '../domain/json.ts'
import { configOf } from '../config.ts'
import { BootError } from '../domain/errors.ts'
import { createLog, adaptLogger } from '../log.ts'
import { startApp } from '../app.ts'
import { embed, type Forerunner, type ForerunnerOptions } from '../library/forerunner.ts'
import { loadRegistry, registryOf, type Registry, isTaskName, type TaskModules } from '../tasks/registry.ts'
import { checkInput, checkTask } from '../tasks/task-module.ts'
import { createInlinePool, type InlinePool, createTestClock } from './inline-pool.ts'
import { createTestTime, type TestTime } from './test-time.ts'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Progress } from '../domain/claim.ts'
import type { SchemaInput, TaskContext, TaskDefinition, StepFunction } from '../domain/task.ts'
import { encodeResult } from '../execution/result.ts'
import { readProgress } from '../execution/running-task.ts'
import { createTaskLog, type TaskLine, createStep } from '../execution/task-context.ts'

export type { DrainReport, LimitOptions, TestTime, WaitOptions } from './test-time.ts'

/** All settings of `createForerunner` that matter here; in memory and without a log unless told otherwise. */
export interface TestOptions extends Omit<
  ForerunnerOptions,
  'tasks' | 'role' | 'firstJobs' | 'threads' | 'ioThreads' | 'ioConcurrency'
> {
  /** Addresses of modules; default: the tasks of `tasksDir`. */
  readonly tasks?: TaskModules
  /** What the clock shows at the start; default: the time of the system. */
  readonly startAt?: Date | number
}

/** The same, with definitions by their names. */
export interface TestOptionsOf<Tasks extends TaskMap<Tasks>> extends Omit<TestOptions, 'tasks' | 'tasksDir'> {
  readonly tasks: Tasks
}

/** A service with a clock that only its test moves. */
export interface TestForerunner<Tasks extends TaskMap<Tasks> = AnyTasks> extends Forerunner<Tasks>, TestTime {}

const cancelGraceMs = 100

/**
 * Starts a service whose jobs, the first one too, run in the thread of the test. It takes the same ways as one with
 * worker threads: the same routes, checks, store, retries and answers.
 * @throws BootError for wrong options or a bad task
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
  const definitions = Object.entries(tasks).filter(([, given]) => !isAddress(given))
  const wrong = definitions.find(([name]) => !isTaskName(name))
  if (wrong !== undefined) throw new BootError(`tasks: "${wrong[0]}" is no name: 1–64 letters, digits, "-" and "_"`)
  const addresses = Object.fromEntries(
    Object.entries(tasks).flatMap(([name, given]) => (isAddress(given) ? [[name, given] as const] : [])),
  )
  const loaded = await loadRegistry(addresses)
  const given = definitions.map(([name, definition]) => checkTask(name, '', definition, `the task "${name}"`))
  return registryOf([...given, ...loaded.all()].toSorted((one, other) => (one.name < other.name ? -1 : 1)))
}

function isAddress(given: unknown): given is URL | string {
  return given instanceof URL || typeof given === 'string'
}

function rethrow(error: Error): never {
  throw error
}

/** What the task is given; each has a default. */
export interface TestContext extends Partial<Omit<TaskContext, 'progress' | 'log' | 'step'>> {
  /** Values of steps that an earlier attempt has stored, by name: their work is not run. */
  readonly steps?: Readonly<Record<string, unknown>>
}

export interface TaskTrial<Result> {
  /** As a caller would get it: what was returned, as JSON has it. */
  readonly result: Result
  /** Every progress that the task reported, in order. */
  readonly progress: readonly Progress[]
  /** All that was logged, in order. */
  readonly log: readonly Pick<TaskLine, 'level' | 'message' | 'fields'>[]
  /** Values of all steps that are stored in the end, as JSON has them, by name. */
  readonly steps: Readonly<Record<string, unknown>>
}

type RunTaskArguments<Input> = undefined extends Input
  ? [input?: Input, context?: TestContext]
  : [input: Input, context?: TestContext]

/**
 * Checks the input as the service does, runs the task once, and writes its result as JSON. Rejects with what the task
 * throws. No time limit holds; end a task with a `signal` of your own.
 * @throws TypeError for an input that its schema refuses, and for a result that is no JSON
 */
export async function runTask<Schema extends StandardSchemaV1 | undefined, Result>(
  definition: TaskDefinition<Schema, Result>,
  ...[input, given = {}]: RunTaskArguments<SchemaInput<Schema>>
): Promise<TaskTrial<AsJson<Awaited<Result>>>> {
  const { after = [], attempt = 1, runId = '00000000-0000-7000-8000-000000000000', jobIndex = 0, traceparent } = given
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
  const limited = createTaskLog({ runId, jobIndex, attempt, task: name }, (line) => void log.push(line))
  const returned = await task.run(checked.value, {
    signal: given.signal ?? new AbortController().signal,
    progress: (fraction, message) => void progress.push(readProgress(fraction, message)),
    log: limited.log,
    step: steps.step,
    after,
    attempt,
    runId,
    jobIndex,
    ...(traceparent !== undefined && { traceparent }),
  })
  limited.reportDropped()
  const encoded = encodeResult(returned)
  if (!encoded.ok) throw new TypeError(`the result ${encoded.problem}`)
  return { result: JSON.parse(encoded.text) as AsJson<Awaited<Result>>, progress, log, steps: steps.values() }
}

/** Steps of a task that is run once in a test: kept in memory, beside those that the test says were stored before. */
interface TrialSteps {
  readonly step: StepFunction
  /** Of all stored steps, by name. */
  values(): Readonly<Record<string, unknown>>
}

function createTrialSteps(before: Readonly<Record<string, unknown>> = {}): TrialSteps {
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
