/** Whether the files and folders that a document names exist, each by its path or a part of it. */

const name = /`(?<path>[a-z0-9-]+(?:\/[a-z0-9-]+)*(?:\/|\.ts)?)`/g

/** @returns the names in backticks, with a slash or `.ts`, that are part of no path */
export function namesWithoutFile(document: string, paths: readonly string[]): string[] {
  const known = new Set(paths.flatMap((path) => partsOf(path.replace(/(?:\.test)?\.tsx?$/, ''))))
  const named = [...document.matchAll(name)].map(({ groups }) => groups?.['path'] ?? '')
  return named.filter((path) => /\/|\.ts$/.test(path)).filter((path) => !known.has(path.replace(/\/$|\.ts$/, '')))
}

/** Every run of names: of `a/b` these are `a`, `a/b` and `b`. */
function partsOf(path: string): string[] {
  const names = path.split('/')
  return names.flatMap((_, end) => names.slice(0, end + 1).map((_name, start) => names.slice(start, end + 1).join('/')))
}
