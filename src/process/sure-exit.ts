/**
 * Makes `process.exit()` end the process at once. Node waits there for every thread of its own, and a thread that a
 * task has left in a native call (a read of a pipe that nobody writes to, `execFileSync`) may never come back.
 */
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import { processGroupOf } from '../tasks/process-fence.ts'

const shell = '/bin/sh'

/**
 * Call it before any task is loaded. From then on `process.exit()` replaces the program by one that exits with the same
 * code: the system ends all threads with that, also those in a native call. Where the system cannot do it (Windows) or Node
 * may not, Node's own way stays.
 * @returns the same function, for a process in which tasks have replaced `process.exit`
 */
export function makeExitSure(): (code: number) => never {
  const { execve, execPath, exit, platform, reallyExit } = process
  const replace = (code = 0): never => {
    endChildren()
    if (platform === 'win32' || execve === undefined) return reallyExit.call(process, code)
    try {
      // A program that is not there would abort the process.
      if (isExecutable(shell)) return execve(shell, ['sh', '-c', `exit ${code}`], {})
      return execve(execPath, ['node', '-e', `process.exit(${code})`], {})
    } catch {
      // Under `--permission` it needs `--allow-child-process`.
      return reallyExit.call(process, code)
    }
  }
  process.reallyExit = replace
  return (code) => {
    try {
      return exit.call(process, code)
    } finally {
      replace(code)
    }
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Ends the child processes that tasks have left: their jobs are handed back and may run again elsewhere. One that was
 * started with `detached` is in a process group of its own, and is meant to outlive us.
 */
function endChildren(): void {
  const group = processGroupOf('self')
  for (const pid of childrenOf('self')) {
    try {
      if (processGroupOf(pid) === group) process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** Empty where the system does not say (it does on Linux). */
function childrenOf(pid: string): string[] {
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    const lists = threads.map((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8'))
    return lists.flatMap((list) => list.split(' ').filter(Boolean))
  } catch {
    return []
  }
}
