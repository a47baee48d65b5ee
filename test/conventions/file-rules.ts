/** Rules for every file: its size, its name, and what it must not use. */
import { isCode, within, withoutText, type Rule } from './sources.ts'

const maxLines = 300

export const filesAreShort: Rule = (sources) =>
  Object.entries(sources).flatMap(([path, source]) => {
    const lines = source.trimEnd().split('\n').length
    return lines > maxLines ? [`${path} has ${lines} lines`] : []
  })

export const namesAreTelling: Rule = (sources) =>
  Object.keys(sources)
    .filter(isCode)
    .flatMap((path) => {
      const folders = path.split('/').slice(0, -1)
      const name = path.slice(path.lastIndexOf('/') + 1)
      const vague = folders.filter((folder) => ['utils', 'common', 'helpers', 'types'].includes(folder))
      const barrel = name.startsWith('index.') && path !== 'src/index.ts' ? [name] : []
      const words = [...folders, name.replace(/(?:\.test)?\.[a-z]+$/, '')]
      const odd = words.filter((word) => !/^[a-z0-9]+(?:-[a-z0-9]+)*$/.test(word))
      return [...vague, ...barrel, ...odd].map((bad) => `${path} must not be named "${bad}"`)
    })

const readsEnvironment = /\bprocess\s*\.\s*env\b|\{[^{}]*\benv\b[^{}]*\}\s*(?:=\s*process\b|from '')/

/** The two programs. */
const readers = new Set(['src/main.ts', 'src/cli.ts'])

export const environmentIsReadOnce: Rule = (sources) =>
  [...within('src', sources), ...within('workers', sources)]
    .filter(([path, source]) => !readers.has(path) && readsEnvironment.test(withoutText(source)))
    .map(([path]) => `${path} reads the environment`)

/** Of the service, and of the command. */
const writers = new Set(['src/log.ts', 'src/cli.ts', 'src/cli/terminal.ts'])

export const consoleHasOneWriter: Rule = (sources) =>
  [...within('src', sources), ...within('workers', sources)]
    .filter(([path, source]) => !writers.has(path) && /\bconsole\b|\.std(?:out|err)\b/.test(withoutText(source)))
    .map(([path]) => `${path} writes to the console`)

export const workersAreTasks: Rule = (sources) =>
  within('workers', sources)
    .filter(([path]) => !/^workers\/lib\/[^/]+\.ts$/.test(path))
    .filter(([path, source]) => !/^workers\/[^/]+\.ts$/.test(path) || !/^export default defineTask\(/m.test(source))
    .map(([path]) => `${path} is no task module`)

const anyType = /(?:[:<|&]|\bas|=>)\s*any\b(?!\s*[(:.])|\bany\[\]|,\s*any\s*>/

export const nothingIsAny: Rule = (sources) =>
  Object.entries(sources)
    .filter(([, source]) => anyType.test(withoutText(source)))
    .map(([path]) => `${path} has an any`)

/** Code that runs on a task's thread, between jobs and next to them. */
const besideTasks = new Set([
  ...['job-runner', 'running-job', 'process-entry'].map((name) => `src/execution/pool/${name}.ts`),
  ...['running-task', 'result', 'task-context'].map((name) => `src/execution/${name}.ts`),
  'src/runtime/serialize-error.ts',
])
// Only inside functions; what a module takes at its top level, it takes before any task runs.
const replaceable = [
  /^\s.*\b(?:JSON|Math|Reflect|Object|Array|Atomics|Promise|Date|Number|String|Buffer|performance)\./,
  /^\s.*\bfor \(const .* of /,
  /^\s.*\.(?:map|push|pop|shift|slice|join|filter|some|find|includes|replaceAll?|split|then|call|apply|bind)\(/,
  /^\s.*\bnew (?:Map|Set|Promise|AbortController|DOMException)\b/,
]

export const threadsUsePrimordials: Rule = (sources) =>
  Object.entries(sources)
    .filter(([path]) => besideTasks.has(path))
    .flatMap(([path, source]) =>
      withoutText(source)
        .split('\n')
        .filter((line) => replaceable.some((pattern) => pattern.test(line)))
        .map((line) => `${path} uses what a task can replace: ${line.trim()}`),
    )

/** Words with a private meaning; the field's words have replaced them. */
const retired =
  /\b(?:[cC]ourier|[tT]hreadKeeper|thread-keeper|[wW]aitingRoom|waiting-room|[mM]ainGuard|main-guard|tendConnections|describeThrown|JsonText|createTurns|progress-teller|heardProgress|Conduct|liveRuns|live-runs)\b/

export const wordsAreTheFields: Rule = (sources) =>
  [...within('src', sources), ...within('workers', sources)].flatMap(([path, source]) => {
    const word = retired.exec(`${path}\n${source}`)?.[0]
    return word === undefined ? [] : [`${path} says ${word}: see the words in docs/architecture.md`]
  })
