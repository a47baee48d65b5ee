/**
 * A report every night. `node docs/examples/nightly-report/night.ts` says when the next one comes, makes one at once, and
 * moves a clock through the night on which clocks go forward, as a test of yours can.
 */
import { createForerunner } from 'forerunner'
import { startTestForerunner } from 'forerunner/testing'
import nightlyReport from './nightly-report.ts'

const name = 'nightly-report'
{
  const tasks = { [name]: new URL('./nightly-report.ts', import.meta.url) }
  await using forerunner = createForerunner({ tasks, databaseUrl: 'sqlite::memory:', logLevel: 'warn' })
  await forerunner.start()
  const { nextAt } = await forerunner.getSchedule(name)
  console.log(`the next report comes at ${nextAt}`)
  const { id } = await forerunner.runSchedule(name)
  const { jobs } = await forerunner.waitForRun(id)
  console.log('tonight’s report would say', jobs[0]?.result)
}

await using forerunner = await startTestForerunner({
  tasks: { [name]: nightlyReport },
  startAt: new Date('2026-03-28T12:00:00Z'),
})
await forerunner.advance(3 * 86_400_000)
const { runs } = await forerunner.listRuns({ tag: `schedule:${name}` })
for (const { createdAt, state } of runs.toReversed()) {
  console.log(createdAt, new Date(createdAt).toLocaleTimeString('de', { timeZone: 'Europe/Berlin' }), state)
}
