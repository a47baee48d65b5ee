/**
 * This package: its version, the Node that it needs, and the cache of its compiled code. Imports only what an older Node
 * has too, so that such a Node can load it and report that it is too old.
 */
import nodeModule from 'node:module'
import { fileURLToPath } from 'node:url'

/** A test compares it with that of package.json. */
export const version = '0.1.0'

const neededMajor = 24

/** @returns one line that says that Node is too old, or null */
export function nodeIsTooOld(running: string): string | null {
  if (Number.parseInt(running, 10) >= neededMajor) return null
  return `Forerunner needs Node ${neededMajor} or later, and this is Node ${running}`
}

/**
 * Keeps compiled code for the next start, in a directory next to the program: it saves an eighth of the main thread's
 * start. Call it before any other module is loaded. It does nothing for sources, which change, and where the directory
 * cannot be written. `NODE_COMPILE_CACHE` names another directory, `NODE_DISABLE_COMPILE_CACHE=1` turns it off.
 */
export function useCompileCache(): void {
  if (!import.meta.url.endsWith('.js')) return
  nodeModule.enableCompileCache(fileURLToPath(new URL('../../.compile-cache', import.meta.url)))
}
