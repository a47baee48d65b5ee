/** The project's code as text, and the little parsing that the rules need. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, posix, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Text by path, relative to the project and with slashes. */
export type Sources = Readonly<Record<string, string>>
/** @returns violations, one line each, starting with the path */
export type Rule = (sources: Sources) => string[]

const root = fileURLToPath(new URL('../..', import.meta.url))

export function readSources(): Sources {
  const directories = ['src', 'web', 'workers', 'test', 'bench'].filter((name) => existsSync(join(root, name)))
  const files = directories.flatMap((directory) =>
    readdirSync(join(root, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/')),
  )
  return Object.fromEntries(files.map((path) => [path, isCode(path) ? readFileSync(join(root, path), 'utf8') : '']))
}

export function isCode(path: string): boolean {
  return /\.(?:tsx?|js|mjs|sql)$/.test(path)
}

export function within(directory: string, sources: Sources): [path: string, source: string][] {
  return Object.entries(sources).filter(([path]) => path.startsWith(`${directory}/`))
}

const textOrComment = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`|\/\/[^\n]*|\/\*[\s\S]*?\*\//g

/** Without comments, and with every string emptied. */
export function withoutText(source: string): string {
  return source.replaceAll(textOrComment, (part) => (part.startsWith('/') ? '' : "''"))
}

/** The imports of a file as written: static, dynamic, and of types only. Module names are in single quotes. */
export function importsOf(source: string): string[] {
  const code = source.replaceAll(textOrComment, (part) => (part.startsWith("'") ? part : ''))
  const pattern = /\b(?:from|import)\s*\(?\s*'(?<name>[^'\n]+)'/g
  return [...code.matchAll(pattern)].map((match) => match.groups?.['name'] ?? '')
}

/** The files that a file imports, by path. */
export function targetsOf(path: string, source: string): string[] {
  return importsOf(source)
    .filter((name) => name.startsWith('.'))
    .map((name) => posix.join(posix.dirname(path), name))
}
