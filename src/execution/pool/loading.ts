/** Has a thread load task modules before any job needs them: what it cannot load is told at the start, by file. */
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { BootError } from '../../domain/errors.ts'
import type { Log } from '../../log.ts'
import type { Task } from '../../tasks/task.ts'
import type { LoadReply } from './messages.ts'
import type { WorkerHost } from './worker-host.ts'

const pauseMs = 100
/** A thread can end because of a job that it runs meanwhile, and be replaced; hardly so often for one module. */
const tries = 3

export interface LoadOptions {
  readonly host: WorkerHost
  readonly tasks: readonly Task[]
  /** After so long, and again and again, `onSlow` is called with the module's path. Milliseconds. */
  readonly limitMs: number
  readonly onSlow: (path: string) => void
  readonly log: Log
}

/** @throws BootError when a module cannot be loaded */
export async function loadOn({ host, tasks, limitMs, onSlow, log }: LoadOptions): Promise<void> {
  // One after another: the one that ends the thread is to be known.
  for (const { name, url } of tasks) {
    const path = fileURLToPath(url)
    const timer = setInterval(onSlow, limitMs, path).unref()
    const reply = await ask(host, name, url)
    clearInterval(timer)
    if (reply === null) log.warn({ task: name }, `${path}: no worker thread has loaded it: each has ended meanwhile`)
    else if (reply.flaw !== null) throw new BootError(`${path}: a worker thread cannot load it: ${reply.flaw}`)
  }
}

/** @returns null when there was no thread that could answer */
async function ask(host: WorkerHost, task: string, url: string): Promise<LoadReply | null> {
  for (let left = tries; left > 0; left -= 1) {
    try {
      // It comes from the thread's entry, which is of the same version.
      return (await host.send({ type: 'load', task, url })) as LoadReply
    } catch {
      await sleep(pauseMs, undefined, { ref: false })
    }
  }
  return null
}
