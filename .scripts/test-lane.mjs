// Runs the tests of one file after another, as its parent names them, and tells it what each has come to. An empty name is
// the last one.
import { pathToFileURL } from 'node:url'

globalThis.UVU_DEFER = 1
await import('uvu')

async function run(path) {
  const suites = []
  globalThis.UVU_QUEUE = [suites]
  globalThis.UVU_INDEX = 0
  process.stdout.write(`${path}\n`)
  await import(pathToFileURL(`test/${path}`).href)
  const counts = { total: 0, passed: 0, skipped: 0 }
  for (const suite of suites) {
    const [errors, passed, skipped, total] = await suite()
    counts.total += total
    counts.passed += passed
    counts.skipped += skipped
    if (errors.length > 0) process.stdout.write(`\n${errors}\n`)
  }
  return counts
}

process.on('message', async (path) => {
  if (path === '') process.disconnect()
  else process.send(await run(path))
})
