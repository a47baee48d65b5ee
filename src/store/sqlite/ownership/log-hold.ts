/**
 * Prevents the log from restarting while a backup copies the file: the copying process stays connected to the owner's
 * socket. The copy is correct without this (`backup.ts`), but a copy of a large file under load would not finish.
 */
import { statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { connectToOwner } from './owner-socket.ts'

export interface LogHold {
  add(caller: Socket): void
  end(): void
}

const word = 'hold the log'
const lookEveryMs = 200
/** Afterwards one commit writes the grown log into the file, which takes up to some tenths of a second. */
const maxGrowthBytes = 64 * 1024 * 1024
const maxHoldMs = 60_000
/** Pause after a hold that was ended, so that repeated requests cannot hold the log for ever. */
const pauseMs = 10_000

/** @param setCheckpoints switches automatic checkpoints, which let the log restart */
export function createLogHold(file: string, setCheckpoints: (isOn: boolean) => void): LogHold {
  const callers = new Set<Socket>()
  let timer: NodeJS.Timeout | undefined
  let since = 0
  let bytesBefore = 0
  let refusedUntil = 0

  const logBytes = (): number => statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0

  function look(): void {
    const now = performance.now()
    if (logBytes() - bytesBefore <= maxGrowthBytes && now - since <= maxHoldMs) return
    refusedUntil = now + pauseMs
    for (const caller of callers) caller.destroy()
  }

  function release(caller: Socket): void {
    if (!callers.delete(caller) || callers.size > 0) return
    clearInterval(timer)
    setCheckpoints(true)
  }

  return {
    add(caller) {
      caller.once('data', (bytes: Buffer) => {
        const now = performance.now()
        if (bytes.toString() !== word || now < refusedUntil) return
        if (callers.size === 0) {
          since = now
          bytesBefore = logBytes()
          setCheckpoints(false)
          timer = setInterval(look, lookEveryMs).unref()
        }
        callers.add(caller)
      })
      caller.once('close', () => release(caller))
    },
    end() {
      for (const caller of callers) caller.destroy()
      callers.clear()
      clearInterval(timer)
    },
  }
}

/** Asks the owner, if there is one, to hold its log. After its time limit the owner ends the hold without notice. */
export async function holdLog(file: string): Promise<Disposable> {
  const socket = await connectToOwner(file)
  socket?.write(word)
  return { [Symbol.dispose]: () => void socket?.destroy() }
}
