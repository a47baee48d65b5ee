/** A SQLite store in a separate process, which can be killed or limited from outside. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Store } from '../../src/store/store.ts'
import type { Answered, Asked, RemoteVerb } from './store-process-child.ts'

export interface StoreProcess extends AsyncDisposable {
  readonly pid: number
  /** Calls a verb of the store there; rejects with the code of its rejection. */
  call<Verb extends RemoteVerb>(verb: Verb, ...args: Parameters<Store[Verb]>): ReturnType<Store[Verb]>
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
}

const script = fileURLToPath(new URL('./store-process-child.ts', import.meta.url))

export async function startStoreProcess(path: string): Promise<StoreProcess> {
  const child = spawn(process.execPath, [script, path], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const exited = Promise.withResolvers<void>()
  const open = Promise.withResolvers<void>()
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let last = 0

  child.on('message', (message) => {
    // From our own script.
    const answered = message as Answered | 'open'
    if (answered === 'open') return open.resolve()
    const asked = waiting.get(answered.id)
    waiting.delete(answered.id)
    if (answered.ok) asked?.resolve(answered.value)
    else asked?.reject(Object.assign(new Error(answered.message), { code: answered.code }))
  })
  child.on('exit', (code, signal) => {
    const error = new Error(`the store's process ended with ${signal ?? code}`)
    open.reject(error)
    for (const asked of waiting.values()) asked.reject(error)
    exited.resolve()
  })

  async function kill(): Promise<void> {
    child.kill('SIGKILL')
    await exited.promise
  }

  await open.promise
  return {
    pid: child.pid ?? 0,
    call(verb, ...args) {
      last += 1
      const asked = Promise.withResolvers<unknown>()
      waiting.set(last, asked)
      const question: Asked = { id: last, verb, args }
      child.send(question)
      // The child sends the verb's result; the message has lost the types.
      return asked.promise as ReturnType<Store[typeof verb]>
    },
    kill,
    [Symbol.asyncDispose]: kill,
  }
}
