/**
 * Loads task modules. Those of other projects can import `forerunner`. When a module cannot be loaded, the error names the
 * file, the line and the column.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { BootError } from '../domain/errors.ts'
import { serializeError } from '../runtime/serialize-error.ts'
import { checkTask, type Task } from './task-module.ts'

/**
 * Imports a task module and checks its default export.
 * @throws BootError that names the file and what is wrong with it
 */
export async function loadTask(name: string, url: string): Promise<Task> {
  const { trace, stop } = traceImports()
  try {
    return checkTask(name, url, defaultOf(await import(url)))
  } catch (error) {
    if (error instanceof BootError) throw error
    throw new BootError(`${fileURLToPath(url)}: cannot be loaded: ${describeLoadFailure(error, trace)}`, error)
  } finally {
    stop()
  }
}

/** Compiled to CommonJS, a module has its default export inside of the one that Node sees. */
function defaultOf(module: unknown): unknown {
  const outer: unknown = Reflect.get(Object(module), 'default')
  const isWrapped = typeof outer === 'object' && outer !== null && 'default' in outer && !('run' in outer)
  return isWrapped ? outer.default : outer
}

interface ImportTrace {
  /** URLs of resolved modules, in order. */
  readonly found: string[]
  /** The last import that could not be resolved. */
  missing: { readonly specifier: string; readonly importer: string; readonly error: unknown } | null
}

let isHooked = false
let current: ImportTrace | null = null

/** Records all imports until `stop` is called, or until the next call. */
function traceImports(): { readonly trace: ImportTrace; stop(): void } {
  if (!isHooked) hookResolution()
  const own: ImportTrace = { found: [], missing: null }
  current = own
  return {
    trace: own,
    stop() {
      if (current === own) current = null
    },
  }
}

/** Permanent, so that imports of a running task are resolved in the same way. */
function hookResolution(): void {
  isHooked = true
  registerHooks({
    resolve(specifier, context, nextResolve) {
      try {
        const resolved = nextResolve(specifier, context)
        current?.found.push(resolved.url)
        return resolved
      } catch (error) {
        // A copy in the task's own project was found above.
        if (specifier === 'forerunner' || specifier === 'forerunner/client') {
          return { url: import.meta.resolve(specifier), shortCircuit: true }
        }
        if (current !== null) current.missing = { specifier, importer: context.parentURL ?? '', error }
        throw error
      }
    },
  })
}

/** The line that Node writes above an excerpt of the source: `file:///a.ts:4`. */
const excerptHead = /^(?<file>\S.*):(?<line>\d+)$/
const excerptMark = /^ *(?=\^)/
const frame = /^\s+at (?:.*? \()?(?<file>(?:file:\/\/|\/|[A-Za-z]:\\).*?):(?<line>\d+):(?<column>\d+)\)?$/
const ourOwnFrame = /^\s+at (?:async )?loadTask /
const loaderFrame = /\bnode_modules\/(?:tsx|esbuild)\//
/** Messages of Node for an ES module that it reads as CommonJS, because of `"type": "commonjs"` in `package.json`. */
const readAsCommonJs = /^(?:Cannot use import statement outside a module|Unexpected token 'export')$/
const moduleHint = 'an ES module needs "type": "module" in its package.json, or a name that ends with .mts or .mjs'
/** Bounds the modules that are checked, each by a process of its own. */
const maxChecked = 10

function describeLoadFailure(error: unknown, trace: ImportTrace): string {
  const { name, message, stack = '' } = serializeError(error)
  const isNamed = name !== undefined && name !== 'Error'
  const location =
    (trace.missing?.error === error ? locationOfImport(trace) : undefined) ??
    locationInExcerpt(stack) ??
    locationInFrames(stack) ??
    (name === 'SyntaxError' ? findSyntaxError(trace) : undefined)
  const hint = readAsCommonJs.test(message) ? `; ${moduleHint}` : ''
  const text = `${isNamed ? `${name}: ` : ''}${message}${hint}`.replaceAll(/\s*\n\s*/g, ' ')
  return location === undefined ? text : `${text} (${location})`
}

function locationInExcerpt(stack: string): string | undefined {
  const [head = '', ...lines] = stack.split('\n')
  const { file, line } = excerptHead.exec(head)?.groups ?? {}
  if (file === undefined) return undefined
  const column = lines.map((text) => excerptMark.exec(text)?.[0].length).find((indent) => indent !== undefined)
  return `${pathOf(file)}:${line}${column === undefined ? '' : `:${column + 1}`}`
}

/** The innermost line of the task's own code; without one, that of a package. */
function locationInFrames(stack: string): string | undefined {
  const lines = stack.split('\n')
  const end = lines.findIndex((line) => ourOwnFrame.test(line))
  const locations = lines.slice(0, end === -1 ? undefined : end).flatMap((line) => {
    const { file, line: row, column } = frame.exec(line)?.groups ?? {}
    // Our hook is among the frames of an import that could not be resolved.
    return file === undefined || file === import.meta.url || loaderFrame.test(file)
      ? []
      : [`${pathOf(file)}:${row}:${column}`]
  })
  return locations.find((location) => !location.includes('node_modules')) ?? locations[0]
}

/** V8 reveals the location of a syntax error only when the error ends a process, so each module is parsed by one. */
function findSyntaxError({ found }: ImportTrace): string | undefined {
  const files = found.filter((url) => /^file:.*\.[cm]?js$/.test(url)).map(pathOf)
  for (const file of files.toReversed().slice(0, maxChecked)) {
    const { stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8', timeout: 5_000 })
    const location = locationInExcerpt(stderr ?? '')
    if (location !== undefined) return location
  }
  return undefined
}

function locationOfImport({ missing }: ImportTrace): string | undefined {
  if (missing === null || !missing.importer.startsWith('file:')) return undefined
  const file = pathOf(missing.importer)
  const source = readIfPossible(file)
  const before = [`'`, `"`].map((quote) => source.split(`${quote}${missing.specifier}${quote}`))
  const [start] = before.find((parts) => parts.length > 1) ?? []
  if (start === undefined) return undefined
  const lines = start.split('\n')
  return `${file}:${lines.length}:${(lines.at(-1)?.length ?? 0) + 1}`
}

/** Empty: it cannot be read, perhaps for the reason that is being described. */
function readIfPossible(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

function pathOf(file: string): string {
  return file.startsWith('file:') ? fileURLToPath(file) : file
}
