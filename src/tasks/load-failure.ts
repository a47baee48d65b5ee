/** Says why a module could not be loaded, and where: file, line and column. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { serializeError } from '../domain/serialize-error.ts'
import type { ImportTrace } from './module-hooks.ts'

/** The line that Node writes above an excerpt of the source: `file:///a.ts:4`. */
const excerptHead = /^(?<file>\S.*):(?<line>\d+)$/
const excerptMark = /^ *(?=\^)/
const frame = /^\s+at (?:.*? \()?(?<file>(?:file:\/\/|\/|[A-Za-z]:\\).*?):(?<line>\d+):(?<column>\d+)\)?$/
const ourOwnFrame = /^\s+at (?:async )?loadTask /
const loaderFrame = /\bnode_modules\/(?:tsx|esbuild)\//
/** Each is a process. */
const maxChecked = 10

export function describeLoadFailure(error: unknown, trace: ImportTrace): string {
  const { name, message, stack = '' } = serializeError(error)
  const isNamed = name !== undefined && name !== 'Error'
  const place =
    (trace.missing?.error === error ? placeOfImport(trace) : undefined) ??
    placeOfExcerpt(stack) ??
    placeOfFrame(stack) ??
    (name === 'SyntaxError' ? findSyntaxError(trace) : undefined)
  const text = `${isNamed ? `${name}: ` : ''}${message}`.replaceAll(/\s*\n\s*/g, ' ')
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
