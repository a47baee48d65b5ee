/**
 * npm run bench -- [--only NAME,NAME] [--quick] [--write]: Forerunner beside its peers on this machine. Prints Markdown
 * with a table of targets; with --write it goes to docs/benchmarks.md, with a chart and the raw figures beside it.
 */
import { parseArgs } from 'node:util'
import { targets, judge, targetTable } from './report/targets.ts'
import { writeDocs } from './report/docs.ts'
import { panelsOf } from './report/panels.ts'
import { openBench } from './rig/open-bench.ts'
import { describeDisk, describeMachine, describePackages } from './rig/machine.ts'
import { backlog } from './scenarios/backlog.ts'
import { coldStart } from './scenarios/cold-start.ts'
import { dispatch } from './scenarios/dispatch.ts'
import { isolation } from './scenarios/isolation.ts'
import { largeInput } from './scenarios/large-input.ts'
import { processes } from './scenarios/processes.ts'
import { recovery } from './scenarios/recovery.ts'
import type { Bench, Outcome, Scenario } from './scenarios/scenario.ts'
import { throughput } from './scenarios/throughput.ts'

const scenarios = [throughput, isolation, dispatch, backlog, recovery, largeInput, coldStart, processes]
const allNames = scenarios.map(({ name }) => name)

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: allNames.join(',') },
    quick: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})
const chosen = values.only.split(',').map((wanted) => {
  const scenario = scenarios.find(({ name }) => name === wanted)
  if (scenario === undefined) throw new Error(`there is no scenario ${wanted}; there are ${allNames.join(', ')}`)
  return scenario
})
if (values.write && (values.quick || chosen.length < scenarios.length)) {
  throw new Error('--write takes neither --quick nor --only: what is published is one whole run')
}

// Servers are ended when this process exits, which a signal alone would not do.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

async function run(scenario: Scenario, bench: Bench): Promise<Outcome> {
  const began = performance.now()
  await using scope = new AsyncDisposableStack()
  const outcome = await scenario.run(bench, scope)
  // At once, because what follows may fail.
  process.stdout.write(`### ${scenario.title}\n\n${outcome.text}\n\n`)
  bench.say(`${scenario.name} took ${((performance.now() - began) / 1_000).toFixed(0)} s`)
  return outcome
}

const startedAt = performance.now()
const machine = describeMachine()
await using bench = openBench(values.quick)
const outcomes: { readonly scenario: Scenario; readonly outcome: Outcome }[] = []
for (const scenario of chosen) outcomes.push({ scenario, outcome: await run(scenario, bench) })

const figures = Object.assign({}, ...outcomes.map(({ outcome }) => outcome.figures)) as Outcome['figures']
const verdicts = targets.map((target) => judge(target, figures))
const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1)
const circumstances = [
  machine,
  bench.cores.text,
  await describeDisk(),
  describePackages(),
  ...bench.found(),
  `took ${minutes} minutes${values.quick ? ' (--quick: FIGURES OF NO WEIGHT)' : ''}`,
]
const sections = outcomes.map(({ scenario, outcome }) => `### ${scenario.title}\n\n${outcome.text}`)
const summary = `${circumstances.map((line) => `- ${line}`).join('\n')}\n\n### Targets\n\n${targetTable(verdicts)}`
process.stdout.write(`${summary}\n`)

if (values.write) {
  const markdown = [summary, ...sections].join('\n\n')
  await writeDocs({ markdown, panels: panelsOf(figures), json: { circumstances, targets: verdicts, figures } })
}
