/**
 * Keeps the log from beginning again while a backup copies the file: the process that copies stays connected to the owner's
 * socket. The copy is right without it (`snapshot.ts`), but of a large file under load it would not come to an end.
 */
import { statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { connectToOwner } from '../ownership/owner-socket.ts'

export interface LogHold {
  add(caller: Socket): void
  end(): void
}

const word = 'hold the log'
const lookEveryMs = 200
/** What has gathered is written into the file by one commit afterwards, which takes up to some tenths of a second. */
const maxGrowthBytes = 64 * 1024 * 1024
const maxHoldMs = 60_000
/** After one that was ended: whoever asks again and again must not keep the log for ever. */
const pauseMs = 10_000

/** @param setCheckpoints whether commits write the log into the file from time to time, which lets it begin again */
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

/** Asks the owner, where there is one; an owner that has held for long enough goes on without a word. */
export async function holdLog(file: string): Promise<Disposable> {
  const socket = await connectToOwner(file)
  socket?.write(word)
  return { [Symbol.dispose]: () => void socket?.destroy() }
}
