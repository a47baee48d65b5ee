/** uvu skips a suite whose `run()` is forgotten, and hides errors of hooks; in both cases the exit code is 0. */
import { importsOf, within, withoutText, type Rule } from './sources.ts'

const traps = ['before', 'after', 'only']

/** The names of the suites that a file creates; uvu provides `test` for every file. */
function suitesOf(source: string): { readonly ready: string[]; readonly made: string[] } {
  const ready = importsOf(source).includes('uvu') && /\bimport \{[^}]*\btest\b[^}]*\}/.test(source) ? ['test'] : []
  const made = [...withoutText(source).matchAll(/\bconst (?<name>\w+) = suite\b/g)]
  return { ready, made: made.map((match) => match.groups?.['name'] ?? '') }
}

/** The suites that the last lines of a file run, or those of a loop at its end. */
function runAtTheEnd(source: string): string[] {
  const ending = /(?<calls>(?:^ *\w+\.run\(\)\n)+)(?<close>\}\n)?(?![\s\S])/m.exec(source)
  const calls = ending?.groups?.['calls'] ?? ''
  if (ending?.groups?.['close'] !== undefined) {
    const opening = source.split('\n').findLast((line) => /^[a-z]/.test(line))
    if (opening === undefined || !opening.startsWith('for ')) return []
  }
  return [...calls.matchAll(/(?<name>\w+)\.run/g)].map((match) => match.groups?.['name'] ?? '')
}

export const suitesRun: Rule = (sources) =>
  within('test', sources).flatMap(([path, source]) => {
    const { ready, made } = suitesOf(source)
    const isTest = path.endsWith('.test.ts')
    const code = withoutText(source)
    // Tests that a contract adds to the provided suite are run by the test file that calls it.
    const toRun = isTest ? [...ready, ...made] : made
    const run = isTest ? runAtTheEnd(source) : toRun.filter((name) => code.includes(`${name}.run()`))
    const trapped = [...ready, ...made].flatMap((name) =>
      traps.map((trap) => `${name}.${trap}`).filter((call) => new RegExp(`\\b${call}\\b`).test(code)),
    )
    return [
      ...toRun.filter((name) => !run.includes(name)).map((name) => `${path} does not end with ${name}.run()`),
      ...trapped.map((call) => `${path} uses ${call}`),
      ...(isTest && toRun.length === 0 ? [`${path} has no suite`] : []),
    ]
  })
