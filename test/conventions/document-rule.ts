/** Checks that the files, folders and functions that a document names exist; a part of the path is enough. */

const name = /`(?<path>[a-z0-9-]+(?:\/[a-z0-9-]+)*(?:\/|\.ts)?)`/g

/** @returns names in backticks, with a slash or `.ts`, that are not part of any path */
export function namesWithoutFile(document: string, paths: readonly string[]): string[] {
  const known = new Set(paths.flatMap((path) => partsOf(path.replace(/(?:\.test)?\.tsx?$/, ''))))
  const named = [...document.matchAll(name)].map(({ groups }) => groups?.['path'] ?? '')
  return named.filter((path) => /\/|\.ts$/.test(path)).filter((path) => !known.has(path.replace(/\/$|\.ts$/, '')))
}

/** All contiguous parts of a path: for `a/b` these are `a`, `a/b` and `b`. */
function partsOf(path: string): string[] {
  const names = path.split('/')
  return names.flatMap((_, end) => names.slice(0, end + 1).map((_name, start) => names.slice(start, end + 1).join('/')))
}

const places = /(?<names>`\w+`(?:(?:, | and |, and )`\w+`)*) (?:in|of) `(?<path>[a-z0-9/-]+\.tsx?)`/g

/** @returns of “`name` in `file.ts`”, the names that no such file contains */
export function namesOutsideFile(document: string, sources: Readonly<Record<string, string>>): string[] {
  return [...document.replaceAll(/\s+/g, ' ').matchAll(places)].flatMap(({ groups }) => {
    const path = groups?.['path'] ?? ''
    const files = Object.entries(sources).filter(([file]) => `/${file}`.endsWith(`/${path}`))
    const names = [...(groups?.['names'] ?? '').matchAll(/`(\w+)`/g)].map(([, found]) => found ?? '')
    return names.filter((found) => !files.some(([, text]) => new RegExp(`\\b${found}\\b`).test(text)))
  })
}
