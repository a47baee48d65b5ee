// Runs the tests with uvu. All of them: a few processes at a time, each of which takes one file after another, the longest
// first, so that all of them end together. With a pattern of their paths, `npm test -- '^pool/'`: one process, as they come.
import { fork } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const lane = join(root, '.scripts/test-lane.mjs')
const env = { ...process.env, NODE_COMPILE_CACHE: join(root, 'node_modules/.cache/compile'), FORCE_COLOR: '1' }

/** Those that take longest, for a file that is begun last is waited for alone. */
const longest = [
  'package/',
  'store/postgres-contract',
  'pool/misbehaviour',
  'process/crash',
  'model/',
  'page/run',
  'schedules/year',
  'process/',
  'page/',
  'store/',
  'dispatch/clock-steps',
  'docs/',
  'pool/',
  'cli/',
  'library/',
]
/** No more, whatever the machine has: what some tests measure is time. Two more than cores: half of the time they wait. */
const atOnce = Math.min(4, availableParallelism() + 2)
/** What a process has left open when its last test is over keeps it from ending. */
const endLimitMs = 20_000
const [pattern] = process.argv.slice(2)

const files = readdirSync(join(root, 'test'), { recursive: true }).filter((path) => path.endsWith('.test.ts'))

function rankOf(path) {
  const rank = longest.findIndex((beginning) => path.startsWith(beginning))
  return rank === -1 ? longest.length : rank
}

const ended = (child) =>
  new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(code ?? signal))
  })

/** Takes files until there are none. @returns what each has come to */
async function runLane(waiting) {
  const child = fork(lane, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
  const results = []
  let current
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))

  function flush() {
    process.stdout.write(output)
    output = ''
  }

  function sendNext() {
    current = waiting.shift()
    // Without a file it leaves. It has to close the channel itself: after a disconnect of ours no `close` is told.
    child.send(current ?? '')
  }

  child.on('message', (counts) => {
    results.push({ ...counts, isBroken: false })
    flush()
    sendNext()
    if (current === undefined) setTimeout(() => child.kill('SIGKILL'), endLimitMs).unref()
  })
  sendNext()
  const code = await ended(child)
  flush()
  if (code === 0 && current === undefined) return results
  console.log(`the tests of ${current ?? 'a process'} ended with ${code} and without a result`)
  results.push({ total: 0, passed: 0, skipped: 0, isBroken: true })
  return current === undefined ? results : [...results, ...(await runLane(waiting))]
}

/** @returns whether all has passed */
async function runFiles(waiting, processes) {
  const startedAt = performance.now()
  const results = (await Promise.all(Array.from({ length: processes }, () => runLane(waiting)))).flat()
  const sum = (name) => results.reduce((all, counts) => all + counts[name], 0)
  const failed = sum('total') - sum('passed')
  console.log(`  Total:     ${sum('total')}`)
  console.log(`  Passed:    ${sum('passed')}`)
  console.log(`  Skipped:   ${sum('skipped')}`)
  console.log(`  Duration:  ${(performance.now() - startedAt).toFixed(2)}ms\n`)
  console.log(`${sum('passed')} passed, ${failed} failed`)
  return sum('passed') > 0 && failed === 0 && !results.some(({ isBroken }) => isBroken)
}

/** As uvu matches: without regard to case, on the path under `test/`. A file that holds no tests is no match. */
async function runMatching(text) {
  try {
    const matched = new RegExp(text, 'i')
    const some = files.filter((path) => matched.test(path))
    if (some.length > 0) return await runFiles(some, 1)
    console.error(`no test file matches ${text}: the pattern is a regular expression of paths under test/`)
  } catch (error) {
    console.error(String(error))
  }
  return false
}

const byRank = files.toSorted((one, other) => rankOf(one) - rankOf(other))
const hasPassed = pattern === undefined ? await runFiles(byRank, atOnce) : await runMatching(pattern)
process.exitCode = hasPassed ? 0 : 1
