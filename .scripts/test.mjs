// Runs the tests with uvu. All of them: three processes at a time, each with the tests of a directory, for one alone
// leaves half a core idle. With a pattern of their paths, `npm test -- '^pool/'`: in one process, as they come.
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const uvu = join(root, 'node_modules/uvu/bin.js')
const env = { ...process.env, NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/compile') }

/** Those that take longest come first. */
const large = ['process', 'pool', 'http', 'store', 'model', 'cli|package|library', 'page']
const parts = [...large.map((name) => `^(?:${name})/`), `^(?!(?:${large.join('|')})/)`]
/** No more, whatever the machine has: what some tests measure is time. One more than cores: a third of the time they wait. */
const atOnce = Math.min(3, availableParallelism() + 1)
const [pattern] = process.argv.slice(2)

const start = (paths, stdio) =>
  spawn(process.execPath, ['--import', 'tsx', uvu, 'test', paths], { cwd: root, env, stdio })

const ended = (child) =>
  new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal))
  })

/** What uvu says of one part in the end; a part that said nothing did not get there. */
function countsOf(output) {
  const text = stripVTControlCharacters(output)
  const count = (name) => Number(text.match(new RegExp(`^  ${name}: +(\\d+)$`, 'm'))?.[1] ?? Number.NaN)
  return { total: count('Total'), passed: count('Passed'), skipped: count('Skipped') }
}

async function runPart(part) {
  const child = start(`${part}.*\\.test\\.ts$`, ['ignore', 'pipe', 'pipe'])
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const code = await ended(child)
  process.stdout.write(output)
  const counts = countsOf(output)
  const isBroken = Number.isNaN(counts.total) || (code !== 0 && counts.passed === counts.total)
  if (isBroken) console.log(`the tests of ${part} ended with ${code} and without a result`)
  return { ...counts, isBroken }
}

async function runAll() {
  const startedAt = performance.now()
  const waiting = [...parts]
  const results = []
  const lane = async () => {
    for (let part = waiting.shift(); part !== undefined; part = waiting.shift()) results.push(await runPart(part))
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  const sum = (name) => results.reduce((all, counts) => all + (counts[name] || 0), 0)
  const failed = sum('total') - sum('passed')
  console.log(`  Total:     ${sum('total')}`)
  console.log(`  Passed:    ${sum('passed')}`)
  console.log(`  Skipped:   ${sum('skipped')}`)
  console.log(`  Duration:  ${(performance.now() - startedAt).toFixed(2)}ms\n`)
  console.log(`${sum('passed')} passed, ${failed} failed`)
  return failed > 0 || results.some(({ isBroken }) => isBroken) ? 1 : 0
}

/** As uvu matches them: without regard to case, on the path under `test/`. A file that holds no tests is no match. */
function matchesTests(text) {
  const matched = new RegExp(text, 'i')
  const paths = readdirSync(join(root, 'test'), { recursive: true })
  return paths.some((path) => path.endsWith('.test.ts') && matched.test(path))
}

async function runMatching(text) {
  try {
    if (matchesTests(text)) return await ended(start(text, 'inherit'))
    console.error(`no test file matches ${text}: the pattern is a regular expression of paths under test/`)
  } catch (error) {
    console.error(String(error))
  }
  return 1
}

const code = pattern === undefined ? await runAll() : await runMatching(pattern)
process.exitCode = typeof code === 'number' ? code : 1
