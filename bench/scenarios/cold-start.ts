/** From the start of a process to its first response, and its memory when it is idle. */
import { setTimeout as sleep } from 'node:timers/promises'
import { forerunnerOnSqlite, plain, volatileApp } from '../contenders/contenders.ts'
import { spread } from '../rig/figures.ts'
import { residentMb } from '../rig/processes.ts'
import { startServer } from '../rig/server.ts'
import { table } from '../report/markdown.ts'
import { collectFigures, recipe, type Scenario } from './scenario.ts'

const restMs = 1_000

export const coldStart: Scenario = {
  name: 'cold-start',
  title: 'Cold start',
  async run(bench) {
    const rounds = bench.isQuick ? 1 : 5
    const { figures, add } = collectFigures()
    const namesSeen = new Set<string>()
    for (let round = 1; round <= rounds; round += 1) {
      bench.say(`round ${round} of ${rounds}: cold start`)
      const sqlite = forerunnerOnSqlite(`${await bench.makeDirectory()}/forerunner.db`)
      for (const contender of [plain, volatileApp, sqlite]) {
        const startedAt = performance.now()
        await using server = await startServer(contender)
        const headers = { 'content-type': 'application/json' }
        const response = await fetch(`${server.url}/run-tasks`, { method: 'POST', headers, body: recipe })
        await response.arrayBuffer()
        const tookMs = performance.now() - startedAt
        if (response.status !== 200)
          throw new Error(`${contender.name}: the first answer has status ${response.status}`)
        await server.drained()
        await sleep(restMs)
        const mb = residentMb(server.pid)
        namesSeen.add(contender.name)
        add(`cold start, ${contender.name}: first answer ms`, tookMs)
        if (mb !== null) add(`cold start, ${contender.name}: resident MB`, mb)
      }
    }
    const rows = [...namesSeen].map((name) =>
      [name].concat(
        ['first answer ms', 'resident MB'].map((what) => spread(figures[`cold start, ${name}: ${what}`] ?? [])),
      ),
    )
    const text = `${rounds} rounds, each in a new process, Forerunner with a new database; memory ${restMs / 1_000} s after its one run was finished.`
    return { figures, text: `${text}\n\n${table(['', 'first answer ms', 'resident MB'], rows)}` }
  },
}
