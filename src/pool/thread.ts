/** The entry of every pool thread: runs the jobs it is sent, and answers each with its outcome. Never throws. */
import { parentPort, workerData } from 'node:worker_threads'
import { describeThrown } from '../domain/thrown.ts'
import { runAttempt } from '../tasks/attempt.ts'
import { loadTask, type Task } from '../tasks/task.ts'
import { createControlBlock, phases } from './control-block.ts'
import { watchIntrinsics } from './intrinsics.ts'
import type { JobMessage, LogMessage, ThreadAnswer, ThreadData, ToThread } from './messages.ts'
import { currentJob, startJob } from './running-job.ts'

// Set by the pool, which is of the same version.
const control = createControlBlock((workerData as ThreadData).control)
const tasks = new Map<string, Task>()
const findChanged = watchIntrinsics()
// Taken before any task runs, for a job that has ended can still change what the next one's answer depends on.
const race = Promise.race.bind(Promise)

process.on('uncaughtException', onStray)
process.on('unhandledRejection', onStray)

const exit = process.exit.bind(process)
process.exit = (code) => {
  const job = currentJob.getStore()
  // Told before the thread ends, so that the right one of its jobs is blamed.
  if (job?.isOver() === false) job.exitWith(Number(code ?? process.exitCode ?? 0))
  return exit(code)
}

export default async function onMessage(message: ToThread): Promise<ThreadAnswer | null> {
  return message.type === 'job' ? runJob(message) : null
}

async function runJob(message: JobMessage): Promise<ThreadAnswer> {
  control.enter(message.lane, phases.loading)
  let task: Task
  try {
    task = await taskOf(message)
  } catch (error) {
    return {
      outcome: { ok: false, error: { code: 'task_error', ...describeThrown(error) }, isRetryable: true },
      taint: null,
    }
  }
  const job = startJob(message, control, post)
  const running = currentJob.run(job, runAttempt, task, message.input, job.context)
  const outcome = await race([running, job.broken])
  job.end()
  const isBroken = !outcome.ok && outcome.error.code === 'crashed'
  const changed = findChanged()
  if (isBroken) return { outcome, taint: 'an error that nobody caught' }
  return { outcome, taint: changed === null ? null : `${message.task} has changed ${changed}` }
}

async function taskOf({ task: name, url }: JobMessage): Promise<Task> {
  const known = tasks.get(url)
  if (known !== undefined) return known
  const task = await loadTask(name, url)
  tasks.set(url, task)
  return task
}

/** What nobody caught belongs to the job whose code threw it; after that job's end, only to the log. */
function onStray(thrown: unknown): void {
  const job = currentJob.getStore()
  if (job?.isOver() === false) {
    job.breakWith(thrown)
    return
  }
  const error = describeThrown(thrown)
  const message = job === undefined ? 'an error on a thread, of no known job' : 'an error of a job that had ended'
  post({ type: 'log', level: 'warn', message, fields: { ...job?.ids, error } })
}

function post(message: LogMessage): void {
  parentPort?.postMessage(message)
}
