/** Turns the rounds of all contenders into Markdown: figures, threads, and ratios to the last contender. */
import type { Contender } from '../contenders/contenders.ts'
import { median, spread, table } from './figures.ts'
import type { Round } from './round.ts'

export interface Entry {
  readonly contender: Contender
  readonly rounds: Round[]
}

/** @param entries with as many rounds each; the last one is the subject, which the others are held against */
export function reportOf(entries: readonly Entry[]): string {
  return [figures(entries), threads(entries), ratios(entries)].join('\n\n')
}

function figures(entries: readonly Entry[]): string {
  const head = ['', 'finished runs/s', 'drain s', 'answer p50 ms', 'p99 ms', 'CPU main µs/run', 'whole µs/run', 'bytes']
  const rows = entries.map(({ contender, rounds }) => [
    contender.name,
    spread(rounds.map(({ runsPerSecond }) => runsPerSecond)),
    spread(
      rounds.map(({ drainSeconds }) => drainSeconds),
      2,
    ),
    spread(
      rounds.map(({ p50Ms }) => p50Ms),
      1,
    ),
    spread(
      rounds.map(({ p99Ms }) => p99Ms),
      1,
    ),
    cpu(rounds, ({ cpuUs }) => cpuUs['main'] ?? 0),
    cpu(rounds, wholeUs),
    String(Math.round(median(rounds.map(({ bytesPerAnswer }) => bytesPerAnswer)))),
  ])
  return table(head, rows)
}

function cpu(rounds: readonly Round[], usOf: (round: Round) => number): string {
  return rounds.some((round) => Object.keys(round.cpuUs).length === 0) ? 'n/a' : spread(rounds.map(usOf))
}

function wholeUs({ cpuUs }: Round): number {
  return Object.values(cpuUs).reduce((sum, us) => sum + us, 0)
}

/** The medians of what each thread spends on a run; threads of one name count together. */
function threads(entries: readonly Entry[]): string {
  return entries
    .map(({ contender, rounds }) => {
      const names = [...new Set(rounds.flatMap(({ cpuUs }) => Object.keys(cpuUs)))]
      const shares = names
        .map((name) => ({ name, us: median(rounds.map(({ cpuUs }) => cpuUs[name] ?? 0)) }))
        .filter(({ us }) => us >= 1)
        .toSorted((a, b) => b.us - a.us)
      return `- ${contender.name}, µs/run by thread: ${shares.map(({ name, us }) => `${name} ${us.toFixed(0)}`).join(', ')}`
    })
    .join('\n')
}

function ratios(entries: readonly Entry[]): string {
  const subject = entries.at(-1)
  if (subject === undefined) return ''
  const rows = entries.slice(0, -1).map(({ contender, rounds }) => {
    // Round by round: what disturbed one contender was likely to disturb its neighbour.
    const ratio = (valueOf: (round: Round) => number): string =>
      spread(
        rounds.map((round, index) => {
          const own = subject.rounds[index]
          return own === undefined ? Number.NaN : valueOf(own) / valueOf(round)
        }),
        2,
      )
    return [
      `${subject.contender.name} ÷ ${contender.name}`,
      ratio(({ runsPerSecond }) => runsPerSecond),
      ratio(({ p99Ms }) => p99Ms),
      rounds.some(({ cpuUs }) => Object.keys(cpuUs).length === 0) ? 'n/a' : ratio(wholeUs),
    ]
  })
  return table(['ratio', 'finished runs/s', 'p99', 'CPU whole'], rows)
}
