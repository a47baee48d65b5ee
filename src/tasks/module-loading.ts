/**
 * How task modules are found, and why one could not be loaded. Tasks outside of this project get `forerunner`, and
 * imports are noted, so that a failure can name its place: file, line and column.
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

/** What TypeScript and others compile to CommonJS has its default export inside of the one that Node sees. */
function defaultOf(module: unknown): unknown {
  const outer: unknown = Reflect.get(Object(module), 'default')
  const isWrapped = typeof outer === 'object' && outer !== null && 'default' in outer && !('run' in outer)
  return isWrapped ? outer.default : outer
}

interface ImportTrace {
  /** Modules that were found, by URL, in order. */
  readonly found: string[]
  /** The last import that led nowhere. */
  missing: { readonly specifier: string; readonly importer: string; readonly error: unknown } | null
}

let isHooked = false
let current: ImportTrace | null = null

/** Notes all imports until `stop` is called. One at a time: a later call takes over. */
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

/** For good: what a task imports while it runs is found in the same way. */
function hookResolution(): void {
  isHooked = true
  registerHooks({
    resolve(specifier, context, nextResolve) {
      try {
        const resolved = nextResolve(specifier, context)
        current?.found.push(resolved.url)
        return resolved
      } catch (error) {
        // A copy of its own that the task's project has was found above.
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
/** What Node says where `package.json` has `"type": "commonjs"`, and the file is an ES module. */
const isTakenForCommonJs = /^(?:Cannot use import statement outside a module|Unexpected token 'export')$/
const moduleHint = 'an ES module needs "type": "module" in its package.json, or a name that ends with .mts or .mjs'
/** Each is a process. */
const maxChecked = 10

function describeLoadFailure(error: unknown, trace: ImportTrace): string {
  const { name, message, stack = '' } = serializeError(error)
  const isNamed = name !== undefined && name !== 'Error'
  const place =
    (trace.missing?.error === error ? placeOfImport(trace) : undefined) ??
    placeOfExcerpt(stack) ??
    placeOfFrame(stack) ??
    (name === 'SyntaxError' ? findSyntaxError(trace) : undefined)
  const hint = isTakenForCommonJs.test(message) ? `; ${moduleHint}` : ''
  const text = `${isNamed ? `${name}: ` : ''}${message}${hint}`.replaceAll(/\s*\n\s*/g, ' ')
  return place === undefined ? text : `${text} (${place})`
}

function placeOfExcerpt(stack: string): string | undefined {
  const [head = '', ...lines] = stack.split('\n')
  const { file, line } = excerptHead.exec(head)?.groups ?? {}
  if (file === undefined) return undefined
  const column = lines.map((text) => excerptMark.exec(text)?.[0].length).find((indent) => indent !== undefined)
  return `${pathOf(file)}:${line}${column === undefined ? '' : `:${column + 1}`}`
}

/** The innermost of the task's own lines; of a package's where there is none. */
function placeOfFrame(stack: string): string | undefined {
  const lines = stack.split('\n')
  const end = lines.findIndex((line) => ourOwnFrame.test(line))
  const places = lines.slice(0, end === -1 ? undefined : end).flatMap((line) => {
    const { file, line: row, column } = frame.exec(line)?.groups ?? {}
    return file === undefined || loaderFrame.test(file) ? [] : [`${pathOf(file)}:${row}:${column}`]
  })
  return places.find((place) => !place.includes('node_modules')) ?? places[0]
}

/** V8 keeps the place of a syntax error to itself until it ends a process: so one is made to parse each module. */
function findSyntaxError({ found }: ImportTrace): string | undefined {
  const files = found.filter((url) => /^file:.*\.[cm]?js$/.test(url)).map(pathOf)
  for (const file of files.toReversed().slice(0, maxChecked)) {
    const { stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8', timeout: 5_000 })
    const place = placeOfExcerpt(stderr ?? '')
    if (place !== undefined) return place
  }
  return undefined
}

function placeOfImport({ missing }: ImportTrace): string | undefined {
  if (missing === null || !missing.importer.startsWith('file:')) return undefined
  const file = pathOf(missing.importer)
  const before = [`'`, `"`].map((quote) => readFileSync(file, 'utf8').split(`${quote}${missing.specifier}${quote}`))
  const [start] = before.find((parts) => parts.length > 1) ?? []
  if (start === undefined) return undefined
  const lines = start.split('\n')
  return `${file}:${lines.length}:${(lines.at(-1)?.length ?? 0) + 1}`
}

function pathOf(file: string): string {
  return file.startsWith('file:') ? fileURLToPath(file) : file
}
