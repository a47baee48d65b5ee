/** Makes the hosts of the pool: one for each worker thread, and one for the child process that shares its core. */
import type { JobError } from '../../domain/job.ts'
import type { Log } from '../../log.ts'
import { ProcessEnd } from './child-process.ts'
import type { ControlBlock } from './control-block.ts'
import { setState, type PoolThread } from './pool-thread.ts'
import { createProcessHost } from './process-host.ts'
import { createWorkerHost, describeNoReply, threadFlags, type WorkerHost } from './worker-host.ts'

/** V8's own limit. Reaching it can end the whole process, so it is far above what a task may use. */
const maxHeapMb = 4096

export interface HostsOptions {
  readonly control: ControlBlock
  readonly controlBuffer: SharedArrayBuffer
  /** Command-line flags of Node for the threads; default: `threadFlags` of those of the process. */
  readonly flags: readonly string[] | undefined
  /** How long a process may take to start, in milliseconds. */
  readonly startLimitMs: number
  readonly log: Log
  readonly onReady: (thread: PoolThread) => void
  readonly onGone: (thread: PoolThread) => void
  /** A thread that was given up has ended. */
  readonly onGivenUpGone: () => void
  /** A message that is no reply. */
  readonly onMessage: (thread: PoolThread, message: unknown) => void
}

export function createHosts(threads: readonly PoolThread[], options: HostsOptions): Map<PoolThread, WorkerHost> {
  const { control, controlBuffer, startLimitMs, log, onReady, onGone, onGivenUpGone, onMessage } = options
  const flags = options.flags ?? threadFlags(process.execArgv)

  const commonOf = (member: PoolThread, errorMessage: string) => ({
    maxHeapMb,
    flags,
    onReady: () => onReady(member),
    onGone: () => onGone(member),
    onMessage: (message: unknown) => onMessage(member, message),
    onError: (error: unknown) => log.warn({ err: error, thread: member.name }, errorMessage),
  })

  function createThreadHost(thread: PoolThread): WorkerHost {
    return createWorkerHost({
      ...commonOf(thread, 'an error on a thread that belongs to no running job'),
      jobs: thread.slots.length,
      data: { control: controlBuffer, isSequential: thread.batchSize !== null },
      onFailing: () => setState(thread, 'failing'),
      onGivenUpGone,
    })
  }

  function createChildHost(child: PoolThread): WorkerHost {
    return createProcessHost({ ...commonOf(child, 'a child process could not be started'), control, startLimitMs })
  }

  const hosts = new Map<PoolThread, WorkerHost>()
  for (const thread of threads) {
    hosts.set(thread, createThreadHost(thread))
    if (thread.childProcess !== null) hosts.set(thread.childProcess, createChildHost(thread.childProcess))
  }
  return hosts
}

/** The error of a job whose thread or process ended, or lives and could not reply. */
export function noReplyError(error: unknown, isAlive: boolean): JobError {
  return error instanceof ProcessEnd ? error.jobError : describeNoReply(error, isAlive)
}
