/** Runs the jobs that a thread or a process is sent, and replies to each with its outcome. Never throws. */
import type { AttemptOutcome, AttemptSteps, StepPage, StepReport } from '../../domain/claim.ts'
import type { JobError } from '../../domain/job.ts'
import { canOpen, descriptorsToLoad } from '../../limits/process-limits.ts'
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
  Taint,
  ToThread,
} from './pool-messages.ts'

// Taken before any task runs, because a job can change what the next one depends on.
const runInContext = currentTask.run.bind(currentTask)
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

/** Call it before any task is loaded, and after all changes that our own code makes to built-ins. */
export function createJobRunner({ control, isSequential, post }: JobRunnerOptions): OnMessage {
  const stepCalls = createStepCalls(post)
  const runBatch = createRunBatch({ isSequential, runJob, send: post })
  const tasks = createObject(null) as Record<string, Task>
  const runningJobs = createObject(null) as Record<string, RunningJob>
  /** The running job that has a built-in changed since the end of its synchronous part; null: none. */
  let changer: RunningJob | null = null

  process.on('uncaughtException', onStray)
  process.on('unhandledRejection', onStray)
  trapExit('reallyExit')
  const intrinsics = watchIntrinsics()
  const restoreStacks = watchStacks()

  async function load(message: LoadMessage): Promise<LoadReply> {
    try {
      await taskOf(message)
      return { flaw: null }
    } catch (error) {
      // A lack of file descriptors is not the module's fault.
      return { flaw: isForLackOfDescriptors(error) ? null : serializeError(error).message }
    }
  }

  async function runJob(message: JobMessage): Promise<JobReply> {
    const startedAt = now()
    const reply = (outcome: AttemptOutcome, taint: Taint | null): JobReply => ({
      id: message.id,
      outcome,
      taint,
      tookMs: now() - startedAt,
    })
    const changedBefore = intrinsics.findReplaced()
    // Another job changed it: this one must not begin, and does not lose its attempt.
    if (changedBefore !== null) {
      await crashChanger(changedBefore)
      return reply('released', { reason: `a job has changed ${changedBefore}`, isUnsafe: true })
    }
    const job = takeJob({ message, control, post, stepsOf: stepCalls.of })
    if (job === null) return reply('released', null)
    runningJobs[message.id] = job
    void runInContext(job.task, loadAndRun, message, job)
    const outcome = await job.task.host.attempt.outcome
    job.close()
    delete runningJobs[message.id]
    if (changer === job) changer = null
    restoreStacks()
    const changed = intrinsics.findChanged()
    if (changed !== null) return reply(outcome, { reason: `${message.task} has changed ${changed}`, isUnsafe: true })
    const reason = reasonToRetire(outcome)
    return reply(outcome, reason === null ? null : { reason, isUnsafe: false })
  }

  /**
   * Fails the job that has a built-in changed while it waits, because no other job can begin here meanwhile. If it was
   * released, its attempt unspent, the two jobs could meet again and again.
   */
  async function crashChanger(changed: string): Promise<void> {
    const job = changer ?? onlyRunning()
    if (job === null) return
    const message = `had ${changed} changed while it waited on a thread that it shares`
    job.endWith({ ok: false, error: { code: 'crashed', message }, isRetryable: true })
    // Its reply must be sent before the one that `runJob` returns next: at that one, the pool kills the thread.
    const { promise, resolve }: PromiseWithResolvers<void> = withResolvers()
    later(resolve)
    await promise
  }

  function onlyRunning(): RunningJob | null {
    let found: RunningJob | null = null
    for (const id in runningJobs) {
      if (found !== null) return null
      found = runningJobs[id] ?? null
    }
    return found
  }

  async function loadAndRun(message: JobMessage, job: RunningJob): Promise<void> {
    let task: Task
    try {
      task = await taskOf(message)
    } catch (error) {
      // Without a free file descriptor the job is handed back: this thread may hold them all.
      if (isForLackOfDescriptors(error)) job.endWith('released')
      else job.endWith({ ok: false, error: loadError(error), isRetryable: true })
      return
    }
    const { traceparent } = message
    const inTrace = traceparent === undefined ? null : await enterTrace(traceparent)
    if (!job.begin()) return
    const outcome = await runTask(task, message.input, job.task.context, (call) => {
      try {
        return inTrace === null ? call() : inTrace(call)
      } finally {
        // A sequential thread needs no record: no other job can have changed it.
        if (!isSequential && changer === null && intrinsics.findReplaced() !== null) changer = job
      }
    })
    job.endWith(outcome)
  }

  async function taskOf({ task: name, url }: JobMessage | LoadMessage): Promise<Task> {
    return (tasks[url] ??= await loadTask(name, url))
  }

  /** An uncaught error belongs to the job whose code threw it. */
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

function reasonToRetire(outcome: AttemptOutcome): string | null {
  if (outcome === 'released') return 'no file descriptor was left to load a module with'
  return !outcome.ok && outcome.error.code === 'crashed' ? 'an error that nobody caught' : null
}

interface StepCall {
  readonly id: number
  readonly reply: PromiseWithResolvers<unknown>
}

/** Steps of the thread's jobs. The main thread keeps them: each call is a message that waits for its reply. */
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
      // Trusted without a check: the main thread is of the same version.
      keep: (step) => ask(id, step) as Promise<StepReport>,
      stored: (from) => ask(id, from) as Promise<StepPage | null>,
    }),
    deliver(replies: readonly StepReply[]): void {
      for (let index = 0; index < replies.length; index += 1) {
        const { id, call, value } = replies[index] as StepReply
        const waitingCall = waiting[call]
        // The reply is for a job of the thread that was here before.
        if (waitingCall === undefined || waitingCall.id !== id) continue
        delete waiting[call]
        const { reply } = waitingCall
        if (typeof value === 'object' && value !== null && 'failed' in value) reply.reject(new CallError(value.failed))
        else reply.resolve(value)
      }
    },
  }
}

/** The details are in the stack, which only the log shows: a reader of the run must not learn where files are. */
function loadError(error: unknown): JobError {
  const { message, stack = message } = serializeError(error)
  return { code: 'task_error', message: 'its module cannot be loaded on a thread; the log says why', stack }
}

/** Node says it in many ways, one of them an invalid `package.json`, so it counts what is left, too. */
function isForLackOfDescriptors(error: unknown): boolean {
  const code: unknown = get(toObject(get(toObject(error), 'cause')), 'code')
  return code === 'EMFILE' || code === 'ENFILE' || !canOpen(descriptorsToLoad)
}
