/** How long an input of a megabyte for a worker thread blocks the event loop of an idle service. */
import { setTimeout as sleep } from 'node:timers/promises'
import { forerunnerOnSqlite, volatileApp, type Contender } from '../contenders/contenders.ts'
import { format, spread } from '../rig/figures.ts'
import { finishedJobs } from '../rig/round.ts'
import { startServer, type Server } from '../rig/server.ts'
import { table } from '../report/markdown.ts'
import { collectFigures, type Scenario } from './scenario.ts'

const inputBytes = 1_000_000
const warmUpRequests = 5
/** The monitor measures from its second timer on. */
const monitorMs = 20
/** Long enough for all work after the response. */
const settleMs = 150

/** Many small members, and one large one: the first is expensive to parse, the second to copy. */
const forms: Readonly<Record<string, object>> = {
  records: { rows: records() },
  text: { text: 'x'.repeat(inputBytes) },
}

function records(): object[] {
  const rows: object[] = []
  for (let bytes = 0; bytes < inputBytes; bytes += JSON.stringify(rows.at(-1)).length + 1) {
    const index = rows.length
    rows.push({ id: index, name: `row ${index}`, value: index / 7, isActive: index % 2 === 0 })
  }
  return rows
}

async function stallMs({ name }: Contender, server: Server, body: string): Promise<number> {
  const before = await server.drained()
  await server.resetLoopDelays()
  await sleep(monitorMs)
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${server.url}/run-tasks`, { method: 'POST', headers, body })
  await response.arrayBuffer()
  await sleep(settleMs)
  const { maxMs } = await server.loopDelays()
  finishedJobs(name, before, await server.drained(), response.status === 200 ? 0 : 1)
  return maxMs
}

export const largeInput: Scenario = {
  name: 'large-input',
  title: 'Large inputs',
  async run(bench, scope) {
    const rounds = bench.isQuick ? 3 : 15
    const contenders = [volatileApp, forerunnerOnSqlite(`${await bench.makeDirectory()}/forerunner.db`)]
    const entries: { readonly contender: Contender; readonly server: Server }[] = []
    for (const contender of contenders) {
      entries.push({ contender, server: scope.use(await startServer(contender, { watchesLoop: true })) })
    }
    bench.say(`large input: ${rounds} rounds`)
    const { figures, add } = collectFigures()
    for (let round = 1 - warmUpRequests; round <= rounds; round += 1) {
      for (const { contender, server } of entries) {
        for (const [form, input] of Object.entries(forms)) {
          const body = JSON.stringify({ tasks: [{ name: 'first' }, { name: 'size', input }] })
          const ms = await stallMs(contender, server, body)
          if (round > 0) add(`large input, ${contender.name}, ${form}: stall ms`, ms)
        }
      }
    }
    const rows = entries.map(({ contender }) => [
      contender.name,
      ...Object.keys(forms).map((form) =>
        spread(figures[`large input, ${contender.name}, ${form}: stall ms`] ?? [], 1),
      ),
    ])
    const text = `Longest stall of the main event loop in ms, ${rounds} rounds; ${format(inputBytes)} bytes as many small records, and as one text.`
    return { figures, text: `${text}\n\n${table(['', ...Object.keys(forms)], rows)}` }
  },
}
