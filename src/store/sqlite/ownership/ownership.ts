/**
 * Keeps other processes out of a database file while it is open, even if code of this process drops SQLite's locks. The
 * owner's socket keeps other services out. A write by another program is noticed before any reply leaves. A backup can
 * ask the owner to hold its log.
 */
import { statSync, type Stats } from 'node:fs'
import type { Socket } from 'node:net'
import { connectToOwner, listenAsOwner, type OwnerSocket } from './owner-socket.ts'

export interface Ownership {
  /** Call before a group: ends the process if another program has written since the last group. */
  beforeGroup(): void
  /** Call after a group's commit and before its replies. @throws Error when the file was removed or replaced */
  afterGroup(): void
  end(): void
}

export interface OwnershipOptions {
  /** null for a database in memory. */
  readonly file: string | null
  readonly socket: OwnerSocket | null
  /** Called when another program uses the file. It must not close the database, because closing writes to the file. */
  readonly endProcess: (what: string) => never
  /** Switches automatic checkpoints, which let the log restart. */
  readonly setCheckpoints: (isOn: boolean) => void
}

/** How often an idle store checks its files. */
const checkEveryMs = 1_000
const inMemory: Ownership = { beforeGroup() {}, afterGroup() {}, end() {} }

export function keepOwnership({ file, ...options }: OwnershipOptions): Ownership {
  return file === null ? inMemory : keep(file, options)
}

function keep(file: string, { socket: first, endProcess, setCheckpoints }: Omit<OwnershipOptions, 'file'>): Ownership {
  const logPath = `${file}-wal`
  const opened = identityOf(file)
  let log = identityOf(logPath)
  let socket = first
  let isListening = false
  const hold = createLogHold(logPath, setCheckpoints)
  socket?.onCaller(hold.add)
  // The message port keeps the thread alive, not this timer.
  const timer = setInterval(check, checkEveryMs).unref()

  function checkLog(): Identity | null {
    const now = identityOf(logPath)
    if (isOther(now, log)) endProcess(`${logPath} was removed or replaced`)
    return now
  }

  function beforeGroup(): void {
    const now = checkLog()
    if (now !== null && log !== null && now.size !== log.size) endProcess(`${logPath} was written`)
  }

  function afterGroup(): void {
    if (isOther(identityOf(file), opened)) {
      throw new Error(`the database file ${file} was removed or replaced while in use`)
    }
    log = checkLog() ?? log
  }

  /** An error that it throws ends the thread, as one that a group throws does, and so the engine reports a lost store. */
  function check(): void {
    beforeGroup()
    afterGroup()
    const state = socket?.state() ?? 'ours'
    if (state === 'taken') endProcess(`the database ${file} was opened`)
    if (state === 'missing' && !isListening) void listenAgain()
  }

  /** Replaces a removed socket: a task may have cleaned up the directory. */
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

type Identity = Pick<Stats, 'dev' | 'ino' | 'size'>

/**
 * Stats the file by its name: opening and closing it would drop the lock.
 * @returns zeros for a missing file, so that it differs from the opened one; null when the system reports an error, which
 * does not prove that the file is another one
 */
function identityOf(path: string): Identity | null {
  try {
    return statSync(path, { throwIfNoEntry: false }) ?? { dev: 0, ino: 0, size: 0 }
  } catch {
    return null
  }
}

function isOther(now: Identity | null, before: Identity | null): boolean {
  return now !== null && before !== null && (now.ino !== before.ino || now.dev !== before.dev)
}

const holdRequest = 'hold the log'
const checkHoldEveryMs = 200
/** Bound on the growth of a held log: the next commit writes all of it into the file, which takes some tenths of a second. */
const maxGrowthBytes = 64 * 1024 * 1024
const maxHoldMs = 60_000
/** Pause after a hold that the owner ended: repeated requests must not hold the log for ever. */
const pauseAfterHoldMs = 10_000

/**
 * Prevents the log from restarting while a backup copies the file. The copy is correct without a hold (`backup.ts`), but
 * copying a large file under load would never finish.
 */
function createLogHold(logPath: string, setCheckpoints: (isOn: boolean) => void) {
  const callers = new Set<Socket>()
  let timer: NodeJS.Timeout | undefined
  let startedAt = 0
  let bytesAtStart = 0
  let refusedUntil = 0

  const logBytes = (): number => statSync(logPath, { throwIfNoEntry: false })?.size ?? 0

  function endIfTooLong(): void {
    const now = performance.now()
    if (logBytes() - bytesAtStart <= maxGrowthBytes && now - startedAt <= maxHoldMs) return
    refusedUntil = now + pauseAfterHoldMs
    for (const caller of callers) caller.destroy()
  }

  function hold(caller: Socket, request: string): void {
    const now = performance.now()
    if (request !== holdRequest || now < refusedUntil) return
    if (callers.size === 0) {
      startedAt = now
      bytesAtStart = logBytes()
      setCheckpoints(false)
      timer = setInterval(endIfTooLong, checkHoldEveryMs).unref()
    }
    callers.add(caller)
  }

  function release(caller: Socket): void {
    if (!callers.delete(caller) || callers.size > 0) return
    clearInterval(timer)
    setCheckpoints(true)
  }

  return {
    /** Holds the log if the caller asks for it, and until the caller disconnects. */
    add(caller: Socket): void {
      caller.once('data', (bytes: Buffer) => hold(caller, bytes.toString()))
      caller.once('close', () => release(caller))
    },
    end() {
      for (const caller of callers) caller.destroy()
      callers.clear()
      clearInterval(timer)
    },
  }
}

/** Asks the owner, if there is one, to hold its log. After a time limit the owner ends the hold without notice. */
export async function holdLog(file: string): Promise<Disposable> {
  const socket = await connectToOwner(file)
  socket?.write(holdRequest)
  return { [Symbol.dispose]: () => void socket?.destroy() }
}
