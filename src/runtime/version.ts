/** The version of the package, and of Node. Imports nothing, so that an older Node can load it. */

/** A test compares it with that of package.json. */
export const version = '0.1.0'

const neededMajor = 24

/** @returns one line that says that Node is too old, or null */
export function nodeIsTooOld(running: string): string | null {
  if (Number.parseInt(running, 10) >= neededMajor) return null
  return `Forerunner needs Node ${neededMajor} or later, and this is Node ${running}`
}
