/**
 * Keeps the log from beginning again while a backup copies the file: the process that copies stays connected to the owner's
 * socket. The copy is right without it (`snapshot.ts`), but of a large file under load it would not come to an end.
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
/** What has gathered is written into the file by one commit afterwards, which takes up to some tenths of a second. */
const maxLogBytes = 64 * 1024 * 1024
const maxHoldMs = 60_000

/** @param setCheckpoints whether commits write the log into the file from time to time, which lets it begin again */
export function createLogHold(file: string, setCheckpoints: (isOn: boolean) => void): LogHold {
  const callers = new Map<Socket, number>()
  let timer: NodeJS.Timeout | undefined

  function look(): void {
    const logBytes = statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0
    for (const [caller, since] of callers) {
      if (logBytes > maxLogBytes || performance.now() - since > maxHoldMs) caller.destroy()
    }
  }

  function release(caller: Socket): void {
    if (!callers.delete(caller) || callers.size > 0) return
    clearInterval(timer)
    setCheckpoints(true)
  }

  return {
    add(caller) {
      caller.once('data', (bytes: Buffer) => {
        if (bytes.toString() !== word) return
        if (callers.size === 0) {
          setCheckpoints(false)
          timer = setInterval(look, lookEveryMs).unref()
        }
        callers.set(caller, performance.now())
      })
      caller.once('close', () => release(caller))
    },
    end() {
      for (const caller of callers.keys()) caller.destroy()
      callers.clear()
      clearInterval(timer)
    },
  }
}

/** Asks the owner, where there is one; an owner that has held for long enough goes on without a word. */
export async function holdLog(file: string): Promise<Disposable> {
  const socket = await connectToOwner(file)
  socket?.write(word)
  return { [Symbol.dispose]: () => void socket?.destroy() }
}
