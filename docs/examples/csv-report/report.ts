/**
 * A report of a CSV file: the first rows at once, the profile and the chart when they are done.
 * `node docs/examples/csv-report/report.ts FILE COLUMN` writes `FILE.html`.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { createForerunner } from 'forerunner'
import csvChart from '../../../workers/csv-chart.ts'
import csvPeek from '../../../workers/csv-peek.ts'
import csvProfile from '../../../workers/csv-profile.ts'

const [file = 'test/fixtures/airports.csv', column = 'latitude', target = `${file}.html`] = process.argv.slice(2)
const csv = await readFile(file, 'utf8')
const worker = (name: string): URL => new URL(`../../../workers/${name}.ts`, import.meta.url)

await using forerunner = createForerunner({
  tasks: { 'csv-peek': worker('csv-peek'), 'csv-profile': worker('csv-profile'), 'csv-chart': worker('csv-chart') },
  databaseUrl: 'sqlite::memory:',
  logLevel: 'warn',
})
await forerunner.start()

const run = await forerunner.run([csvPeek({ csv, rows: 3 }), csvProfile({ csv }), csvChart({ csv, column })], {
  idempotencyKey: `${file}:${column}`,
})
console.log(`${run.result?.rowEstimate} rows or so, with ${run.result?.header?.join(', ')}`)

// The answer is there; the rest comes later. A run that is read by its id does not know its tasks.
const { jobs } = await forerunner.waitForRun(run.id)
const failed = jobs.find(({ state }) => state !== 'completed')
if (failed) throw new Error(`${failed.task}: ${failed.error?.message}`)
const chart = jobs[2]?.result as { svg: string }
const profile = JSON.stringify(jobs[1]?.result, null, 2).replaceAll('<', '&lt;')
await writeFile(target, `<!doctype html>\n<title>${file}</title>\n${chart.svg}\n<pre>${profile}</pre>\n`)
console.log(`wrote ${target}`)
