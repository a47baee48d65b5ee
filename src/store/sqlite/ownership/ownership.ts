/**
 * Keeps other processes out of a database file while it is open, even if code of this process drops SQLite's locks. The
 * owner's socket keeps other services out; a write by another program is noticed before anything is acknowledged.
 */
import { statSync, type Stats } from 'node:fs'
import { createLogHold } from './log-hold.ts'
import { listenAsOwner, type OwnerSocket } from './owner-socket.ts'

export interface Ownership {
  /** Call before a group: ends the process if another program has written since the last group. */
  beforeGroup(): void
  /** Call after a group's commit and before its replies. @throws Error when the file is lost */
  afterGroup(): void
  end(): void
}

export interface OwnershipOptions {
  /** Null for a database in memory. */
  readonly file: string | null
  readonly socket: OwnerSocket | null
  /** Another program has the file. The database must not be closed, because closing writes to it and removes the log. */
  readonly endProcess: (what: string) => never
  /** Switches automatic checkpoints. */
  readonly setCheckpoints: (isOn: boolean) => void
}

/** How often an idle store checks. */
const lookEveryMs = 1_000
const inMemory: Ownership = { beforeGroup() {}, afterGroup() {}, end() {} }

export function keepOwnership(options: OwnershipOptions): Ownership {
  return options.file === null ? inMemory : keep(options.file, options)
}

function keep(file: string, { socket: first, endProcess, setCheckpoints }: OwnershipOptions): Ownership {
  const logPath = `${file}-wal`
  const opened = lookAt(file)
  let log = lookAt(logPath)
  let socket = first
  let isListening = false
  const hold = createLogHold(file, setCheckpoints)
  socket?.onCaller(hold.add)
  const timer = setInterval(look, lookEveryMs)
  // The port keeps the thread.
  timer.unref()

  function checkLog(): File | null {
    const now = lookAt(logPath)
    if (isOther(now, log)) endProcess(`${logPath} was removed or replaced`)
    return now
  }

  function beforeGroup(): void {
    const now = checkLog()
    if (now !== null && log !== null && now.size !== log.size) endProcess(`${logPath} was written`)
  }

  function afterGroup(): void {
    if (isOther(lookAt(file), opened)) throw new Error(`the database file ${file} was removed or replaced while in use`)
    log = checkLog() ?? log
  }

  function look(): void {
    beforeGroup()
    afterGroup()
    const state = socket?.state() ?? 'ours'
    if (state === 'taken') endProcess(`the database ${file} was opened`)
    if (state === 'missing' && !isListening) void listenAgain()
  }

  /** The socket was removed, for example by a task that cleans up. */
  async function listenAgain(): Promise<void> {
    isListening = true
    // If another process was faster, the next check finds its socket.
    socket = (await listenAsOwner(file).catch(() => null)) ?? socket
    socket?.onCaller(hold.add)
    isListening = false
  }

  return {
    beforeGroup,
    afterGroup,
    end() {
      clearInterval(timer)
      hold.end()
      socket?.close()
    },
  }
}

type File = Pick<Stats, 'dev' | 'ino' | 'size'>

/**
 * Looks at the file by its name, because opening and closing it would drop the lock.
 * @returns null if the system reports an error, which does not show another file
 */
function lookAt(path: string): File | null {
  try {
    return statSync(path, { throwIfNoEntry: false }) ?? { dev: 0, ino: 0, size: 0 }
  } catch {
    return null
  }
}

function isOther(now: File | null, before: File | null): boolean {
  return now !== null && before !== null && (now.ino !== before.ino || now.dev !== before.dev)
}
