/** Checks that the files and folders that a document names exist; a part of the path is enough. */

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
