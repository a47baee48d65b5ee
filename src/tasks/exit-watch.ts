/** Makes what ends the process fail in a module that is being loaded: the start would end there, even as a success. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import { BootError } from '../domain/errors.ts'
import { isEnding } from './process-fence.ts'

/** `path` of the module; null when it has been loaded, and what it has left behind goes on. */
const loading = new AsyncLocalStorage<{ path: string | null }>()
let isWatching = false

/** @throws BootError that names the file when its module wants to end the process; else whatever `load` throws */
export async function withoutExit<Value>(path: string, load: () => Promise<Value>): Promise<Value> {
  if (!isWatching) watchExits()
  const module: { path: string | null } = { path }
  try {
    return await loading.run(module, load)
  } finally {
    module.path = null
  }
}

/** For good, because a module that imports such a function by its name keeps the one that it got. */
function watchExits(): void {
  isWatching = true
  for (const name of ['exit', 'reallyExit', 'abort', 'execve', 'kill']) {
    const original: unknown = Reflect.get(process, name)
    if (typeof original !== 'function') continue
    const watched = (...args: unknown[]): unknown => {
      const path = loading.getStore()?.path ?? null
      // What is not the module's doing ends the process as ever.
      if (path === null || (name === 'kill' && !isEnding(args))) return Reflect.apply(original, process, args)
      throw new BootError(`${path}: calls process.${name}(${args.join(', ')}) while it is loaded`)
    }
    Object.defineProperty(process, name, { value: watched, writable: true, configurable: true, enumerable: true })
  }
  syncBuiltinESMExports()
}
