/** Runs the jobs that a thread is sent, or a process, and replies to each with its outcome. Never throws. */
import type { AttemptOutcome, AttemptSteps, StepPage, StepReport } from '../../domain/claim.ts'
import type { JobError } from '../../domain/job.ts'
import { get, later, now, toObject, withResolvers } from '../../runtime/primordials.ts'
import { serializeError } from '../../runtime/serialize-error.ts'
import { watchIntrinsics, watchStacks } from '../intrinsics.ts'
import { breakTask, currentTask, runTask, taskNow, trapExit } from '../running-task.ts'
import { loadTask } from '../../tasks/module-loading.ts'
import type { Task } from '../../tasks/task-module.ts'
import { enterTrace } from '../../telemetry/trace-context.ts'
import type { ControlBlock } from './control-block.ts'
import { createRunBatch, takeJob, type RunningJob } from './running-job.ts'
import type {
  FromThread,
  JobMessage,
  JobReply,
  LoadMessage,
  LoadReply,
  StepMessage,
  StepReply,
  ToThread,
} from './pool-messages.ts'

// Taken before any task runs, for a job can change what the next one depends on.
const run = currentTask.run.bind(currentTask)
const createObject = Object.create
const CallError = Error

export interface JobRunnerOptions {
  readonly control: ControlBlock
  /** One job after another; otherwise all at once. */
  readonly isSequential: boolean
  /** Sends to the pool; must not throw. */
  readonly post: (message: FromThread) => void
}

export type OnMessage = (message: ToThread) => Promise<readonly JobReply[] | LoadReply>

/** Call it before any task is loaded, after everything that is replaced of the built-ins. */
export function createJobRunner({ control, isSequential, post }: JobRunnerOptions): OnMessage {
  const stepCalls = createStepCalls(post)
  const runBatch = createRunBatch({ isSequential, runJob, send: post })
  const tasks = createObject(null) as Record<string, Task>
  const runningJobs = createObject(null) as Record<string, RunningJob>
  /** The job that left the language changed when the synchronous part of its task ended. */
  let changer: RunningJob | null = null

  process.on('uncaughtException', onStray)
  process.on('unhandledRejection', onStray)
  trapExit('reallyExit')
  const intrinsics = watchIntrinsics()
  const keepStacks = watchStacks()

  async function load(message: LoadMessage): Promise<LoadReply> {
    try {
      await taskOf(message)
      return { flaw: null }
    } catch (error) {
      // As for a job, that is not the module's fault.
      return { flaw: isOutOfDescriptors(error) ? null : serializeError(error).message }
    }
  }

  async function runJob(message: JobMessage): Promise<JobReply> {
    const startedAt = now()
    const reply = (outcome: AttemptOutcome, taint: string | null, isUnsafe: boolean): JobReply => ({
      id: message.id,
      outcome,
      taint,
      isUnsafe,
      tookMs: now() - startedAt,
    })
    const changedBefore = intrinsics.findReplaced()
    // What another job did to the language is not to be paid for by this one.
    if (changedBefore !== null) {
      await charge(changedBefore)
      return reply('released', `a job has changed ${changedBefore}`, true)
    }
    const job = takeJob(message, control, post, stepCalls.of)
    if (job === null) return reply('released', null, false)
    runningJobs[message.id] = job
    void run(job.task, attempt, message, job)
    const outcome = await job.task.host.ended
    job.end()
    delete runningJobs[message.id]
    if (changer === job) changer = null
    keepStacks()
    const changed = intrinsics.findChanged()
    if (changed !== null) return reply(outcome, `${message.task} has changed ${changed}`, true)
    if (outcome === 'released') return reply(outcome, 'no file descriptor was left to load a module with', false)
    const isBroken = !outcome.ok && outcome.error.code === 'crashed'
    return reply(outcome, isBroken ? 'an error that nobody caught' : null, false)
  }

  /**
   * A job that keeps the language changed while it waits spends its attempt when that holds up another one. Handed back
   * unspent, the two could meet again and again.
   */
  async function charge(changed: string): Promise<void> {
    const culprit = changer ?? onlyRunning()
    if (culprit === null) return
    const message = `had ${changed} changed while it waited on a thread that it shares`
    culprit.settle({ ok: false, error: { code: 'crashed', message }, isRetryable: true })
    // Its reply goes first: after ours, the thread is ended.
    const { promise, resolve }: PromiseWithResolvers<void> = withResolvers()
    later(resolve)
    await promise
  }

  function onlyRunning(): RunningJob | null {
    let found: RunningJob | null = null
    for (const id in runningJobs) {
      const job = runningJobs[id]
      if (job === undefined) continue
      if (found !== null) return null
      found = job
    }
    return found
  }

  async function attempt(message: JobMessage, job: RunningJob): Promise<void> {
    let task: Task
    try {
      task = await taskOf(message)
    } catch (error) {
      // That is not the task's fault, and this thread may be the one that has taken them all.
      if (isOutOfDescriptors(error)) job.settle('released')
      else job.settle({ ok: false, error: loadError(error), isRetryable: true })
      return
    }
    const { traceparent } = message
    const inTrace = traceparent === undefined ? null : await enterTrace(traceparent)
    if (!job.begin()) return
    const outcome = await runTask(task, message.input, job.task.context, (call) => {
      try {
        return inTrace === null ? call() : inTrace(call)
      } finally {
        // On a thread of its own it can be nobody else.
        if (!isSequential && changer === null && intrinsics.findReplaced() !== null) changer = job
      }
    })
    job.settle(outcome)
  }

  async function taskOf({ task: name, url }: JobMessage | LoadMessage): Promise<Task> {
    const known = tasks[url]
    if (known !== undefined) return known
    const task = await loadTask(name, url)
    tasks[url] = task
    return task
  }

  /** What nobody caught belongs to the job whose code threw it. */
  function onStray(thrown: unknown): void {
    const task = taskNow()
    if (task !== undefined) return breakTask(task, thrown)
    const fields = { error: serializeError(thrown) }
    post({ type: 'log', level: 'warn', message: 'an error on a thread, of no known job', fields })
  }

  return async (message) => {
    if (message.type === 'step-replies') stepCalls.deliver(message.replies)
    if (message.type === 'load') return load(message)
    return message.type === 'jobs' ? runBatch(message.jobs) : []
  }
}

interface StepCall {
  readonly id: number
  readonly reply: PromiseWithResolvers<unknown>
}

/** The steps of the thread's jobs, which the main thread keeps: asks for each by a message, and waits for its reply. */
function createStepCalls(post: (message: StepMessage) => void) {
  const waiting = createObject(null) as Record<number, StepCall>
  let nextCall = 0

  function ask(id: number, asked: StepMessage['asked']): Promise<unknown> {
    const reply: PromiseWithResolvers<unknown> = withResolvers()
    waiting[nextCall] = { id, reply }
    post({ type: 'step', id, call: nextCall, asked })
    nextCall += 1
    return reply.promise
  }

  return {
    /** @param id of the job's message */
    of: (id: number): AttemptSteps => ({
      // The main thread is of the same version.
      keep: (step) => ask(id, step) as Promise<StepReport>,
      stored: (from) => ask(id, from) as Promise<StepPage | null>,
    }),
    deliver(replies: readonly StepReply[]): void {
      for (let index = 0; index < replies.length; index += 1) {
        const { id, call, value } = replies[index] as StepReply
        const asked = waiting[call]
        if (asked === undefined || asked.id !== id) continue
        delete waiting[call]
        if (typeof value === 'object' && value !== null && 'failed' in value) {
          asked.reply.reject(new CallError(value.failed))
        } else asked.reply.resolve(value)
      }
    },
  }
}

/** With its files where stacks are, in the log: a reader of the run must not learn where they are. */
function loadError(error: unknown): JobError {
  const { message, stack = message } = serializeError(error)
  return { code: 'task_error', message: 'its module cannot be loaded on a thread; the log says why', stack }
}

function isOutOfDescriptors(error: unknown): boolean {
  const code: unknown = get(toObject(get(toObject(error), 'cause')), 'code')
  return code === 'EMFILE' || code === 'ENFILE'
}
