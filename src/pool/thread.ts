/** The entry of every pool thread: runs the jobs it is sent, and answers each with its outcome. Never throws. */
import { parentPort, workerData } from 'node:worker_threads'
import type { Outcome } from '../domain/job.ts'
import type { TaskContext } from '../domain/task.ts'
import { describeThrown } from '../domain/thrown.ts'
import { runAttempt } from '../tasks/attempt.ts'
import { loadTask, type Task } from '../tasks/task.ts'
import { createControlBlock, phases } from './control-block.ts'
import type { JobMessage, LogLevel, LogMessage, ThreadData, ToThread } from './messages.ts'
import { createStopSignal, type StopSignal } from './stop-signal.ts'

// Set by the pool, which is of the same version.
const control = createControlBlock((workerData as ThreadData).control)
const tasks = new Map<string, Task>()

export default async function onMessage(message: ToThread): Promise<Outcome | null> {
  return message.type === 'job' ? runJob(message) : null
}

async function runJob(message: JobMessage): Promise<Outcome> {
  const { lane, input } = message
  control.enter(lane, phases.loading)
  let task: Task
  try {
    task = await taskOf(message)
  } catch (error) {
    return { ok: false, error: { code: 'task_error', ...describeThrown(error) }, isRetryable: true }
  }
  control.enter(lane, phases.running)
  const context = createContext(message)
  const outcome = await runAttempt(task, input, context)
  context.end()
  return outcome
}

async function taskOf({ task: name, url }: JobMessage): Promise<Task> {
  const known = tasks.get(url)
  if (known !== undefined) return known
  const task = await loadTask(name, url)
  tasks.set(url, task)
  return task
}

function createContext(message: JobMessage): TaskContext & { end(): void } {
  const { lane, runId, jobIndex, attempt } = message
  let stop: StopSignal | undefined
  const log = (level: LogLevel) => (text: unknown, fields?: Readonly<Record<string, unknown>>) => {
    post({ type: 'log', level, message: String(text), fields: { ...plain(fields), runId, jobIndex, attempt } })
  }
  return {
    // Made when it is asked for: most jobs never do, and listening costs more than a quick job.
    get signal() {
      stop ??= createStopSignal(control, lane)
      return stop.signal
    },
    progress: (fraction: unknown) => control.setProgress(lane, Number(fraction)),
    log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
    attempt,
    runId,
    jobIndex,
    end: () => stop?.end(),
  }
}

/** Fields as JSON has them: what cannot be cloned must not fail the job that logs it. */
function plain(fields: unknown): object {
  try {
    return Object(JSON.parse(JSON.stringify(fields ?? {})))
  } catch {
    return { fields: 'not JSON' }
  }
}

function post(message: LogMessage): void {
  parentPort?.postMessage(message)
}
