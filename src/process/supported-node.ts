/** Which versions of Node can run this. Imports nothing, so that an older one can load it. */

const neededMajor = 24

/** @returns one line for who started it with a version that is too old, or null */
export function nodeIsTooOld(version: string): string | null {
  if (Number.parseInt(version, 10) >= neededMajor) return null
  return `Forerunner needs Node ${neededMajor} or later, and this is Node ${version}`
}
