/** Takes part in how modules are found: gives tasks outside of this project `forerunner`, and notes what is imported. */
import { registerHooks } from 'node:module'

export interface ImportTrace {
  /** Modules that were found, by URL, in order. */
  readonly found: string[]
  /** The last import that led nowhere. */
  missing: { readonly specifier: string; readonly importer: string; readonly error: unknown } | null
}

let isHooked = false
let trace: ImportTrace | null = null

/** Notes all imports until `stop` is called. One at a time: a later call takes over. */
export function traceImports(): { readonly trace: ImportTrace; stop(): void } {
  if (!isHooked) hookResolution()
  const own: ImportTrace = { found: [], missing: null }
  trace = own
  return {
    trace: own,
    stop() {
      if (trace === own) trace = null
    },
  }
}

/** For good: what a task imports while it runs is found in the same way. */
function hookResolution(): void {
  isHooked = true
  registerHooks({
    resolve(specifier, context, nextResolve) {
      try {
        const resolved = nextResolve(specifier, context)
        trace?.found.push(resolved.url)
        return resolved
      } catch (error) {
        // A copy of its own that the task's project has was found above.
        if (specifier === 'forerunner' || specifier === 'forerunner/client') {
          return { url: import.meta.resolve(specifier), shortCircuit: true }
        }
        if (trace !== null) trace.missing = { specifier, importer: context.parentURL ?? '', error }
        throw error
      }
    },
  })
}
