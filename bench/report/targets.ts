/** The targets of Forerunner, compared with the figures of one run. */
import { names } from '../contenders/contenders.ts'
import { format, median, pairedRatios } from '../rig/figures.ts'
import type { Figures } from '../scenarios/scenario.ts'
import { connectionCounts } from '../scenarios/throughput.ts'
import { table } from './markdown.ts'

/** The measured value, with the circumstances if there are several; null if this run has not measured it. */
type Measured = readonly { readonly value: number | null; readonly when?: string }[]

interface Target {
  readonly what: string
  readonly limit: number
  /** false: at most. */
  readonly isAtLeast?: boolean
  readonly unit?: string
  readonly digits: number
  readonly measure: (figures: Figures) => Measured
}

export interface Verdict {
  readonly what: string
  readonly limit: string
  readonly measured: string
  /** null: not measured. */
  readonly isMet: boolean | null
}

/** Ratio of two contenders, for each number of connections. */
function ofRuns(quantity: string, one: string, other: string): Target['measure'] {
  return (figures) =>
    connectionCounts.map((connections) => {
      const key = (name: string): string => `throughput, ${connections} connections, ${name}: ${quantity}`
      return { value: ratio(figures, key(one), key(other)), when: `at ${connections}` }
    })
}

/** Of a contender at 50 connections. */
function ofLoad(name: string, quantity: string): Target['measure'] {
  return single(`throughput, ${connectionCounts[0]} connections, ${name}: ${quantity}`)
}

/** Ratio of this number of processes to one. */
function ofProcesses(count: number): Target['measure'] {
  return (figures) => {
    const key = (processes: number): string => `processes, ${processes}: completed runs/s`
    return [{ value: ratio(figures, key(count), key(1)) }]
  }
}

function single(key: string): Target['measure'] {
  return (figures) => [{ value: middle(figures, key) }]
}

function ratio(figures: Figures, one: string, other: string): number | null {
  const ratios = pairedRatios(figures[one] ?? [], figures[other] ?? [])
  return ratios.length === 0 ? null : median(ratios)
}

function middle(figures: Figures, key: string): number | null {
  const values = figures[key] ?? []
  return values.length === 0 ? null : median(values)
}

const { sqlite, volatile, bullMq, pgBoss, postgres } = names
const rate = 'completed runs/s'
const [most, fewest] = ['1,000,000 queued', '1,000 queued']

export const targets: readonly Target[] = [
  {
    what: "CPU of SQLite's thread, a run of three jobs that do nothing",
    limit: 50,
    unit: 'µs',
    digits: 0,
    measure: ofLoad(sqlite, 'store-thread CPU µs/run'),
  },
  { what: 'bytes written a run', limit: 7, unit: 'kB', digits: 1, measure: ofLoad(sqlite, 'written kB/run') },
  { what: 'file a finished run', limit: 500, unit: 'B', digits: 0, measure: ofLoad(sqlite, 'file B/run') },
  {
    what: 'main-thread CPU a run',
    limit: 150,
    unit: 'µs',
    digits: 0,
    measure: ofLoad(sqlite, 'main-thread CPU µs/run'),
  },
  {
    what: 'whole-process CPU a run, durable ÷ volatile',
    limit: 2,
    digits: 2,
    measure: ofRuns('whole-process CPU µs/run', sqlite, volatile),
  },
  {
    what: 'completed runs/s, durable ÷ volatile',
    limit: 0.6,
    isAtLeast: true,
    digits: 2,
    measure: ofRuns(rate, sqlite, volatile),
  },
  {
    what: 'completed runs/s, Forerunner on SQLite ÷ Koa + BullMQ with fsync',
    limit: 1.6,
    isAtLeast: true,
    digits: 2,
    measure: ofRuns(rate, sqlite, bullMq),
  },
  {
    what: 'completed runs/s, Forerunner on SQLite ÷ Koa + pg-boss',
    limit: 4,
    isAtLeast: true,
    digits: 2,
    measure: ofRuns(rate, sqlite, pgBoss),
  },
  {
    what: 'jobs/s from a backlog, io',
    limit: 40_000,
    isAtLeast: true,
    digits: 0,
    measure: single('dispatch, io: jobs/s'),
  },
  {
    what: 'jobs/s from a backlog, cpu',
    limit: 30_000,
    isAtLeast: true,
    digits: 0,
    measure: single('dispatch, cpu: jobs/s'),
  },
  {
    what: 'first response p50 at 250 requests/s',
    limit: 2,
    unit: 'ms',
    digits: 1,
    measure: single(`isolation, ${sqlite}, idle: p50 ms`),
  },
  {
    what: "first response p99, background work of twice the machine's CPU ÷ idle",
    limit: 1.3,
    digits: 2,
    measure: (figures) => {
      const key = (state: string): string => `isolation, ${sqlite}, ${state}: p99 ms`
      return [{ value: ratio(figures, key('2×'), key('idle')) }]
    },
  },
  {
    what: 'event-loop delay p99 in that state',
    limit: 10,
    unit: 'ms',
    digits: 1,
    measure: single(`isolation, ${sqlite}, 2×: loop delay p99 ms`),
  },
  {
    what: "CPU of PostgreSQL's server a run",
    limit: 110,
    unit: 'µs',
    digits: 0,
    measure: ofLoad(postgres, 'database server CPU µs/run'),
  },
  {
    what: 'main-thread CPU a run on PostgreSQL',
    limit: 190,
    unit: 'µs',
    digits: 0,
    measure: ofLoad(postgres, 'main-thread CPU µs/run'),
  },
  {
    what: 'completed runs/s, Forerunner on PostgreSQL ÷ Koa + pg-boss',
    limit: 3,
    isAtLeast: true,
    digits: 2,
    measure: ofRuns(rate, postgres, pgBoss),
  },
  { what: 'two processes ÷ one on one PostgreSQL', limit: 1.3, isAtLeast: true, digits: 2, measure: ofProcesses(2) },
  { what: 'four processes ÷ one on one PostgreSQL', limit: 1, isAtLeast: true, digits: 2, measure: ofProcesses(4) },
  {
    what: 'CPU of an accepted run, 1,000,000 jobs queued ÷ 1,000',
    limit: 1.2,
    digits: 2,
    measure: (figures) => {
      const key = (level: string): string => `backlog, ${level}: main and store CPU µs/run`
      return [{ value: ratio(figures, key(most), key(fewest)) }]
    },
  },
  {
    what: 'ready after kill -9 with 100,000 jobs queued',
    limit: 350,
    unit: 'ms',
    digits: 0,
    measure: single('recovery, 100,000 queued: ready ms'),
  },
  {
    what: 'cold start until the first answer',
    limit: 400,
    unit: 'ms',
    digits: 0,
    measure: single(`cold start, ${sqlite}: first answer ms`),
  },
  {
    what: 'longest main-loop stall of a 1 MB input',
    limit: 10,
    unit: 'ms',
    digits: 1,
    measure: (figures) =>
      ['records', 'text'].map((form) => ({
        value: middle(figures, `large input, ${sqlite}, ${form}: stall ms`),
        when: form,
      })),
  },
  {
    what: 'resident memory after 30 s of load and more',
    limit: 250,
    unit: 'MB',
    digits: 0,
    measure: ofLoad(sqlite, 'resident MB'),
  },
]

/** Met only if met in all circumstances. If one is missing, it counts as not measured, unless another one fails. */
export function judge(
  { what, limit, isAtLeast = false, unit = '', digits, measure }: Target,
  figures: Figures,
): Verdict {
  const all = measure(figures)
  const space = unit === '' ? '' : ' '
  const verdicts = new Set(
    all.map(({ value }) => (value === null ? null : isAtLeast ? value >= limit : value <= limit)),
  )
  const measured = all.map(({ value, when }) => {
    const text = value === null ? 'not measured' : `${format(value, digits)}${space}${unit}`
    return when === undefined ? text : `${text} ${when}`
  })
  const isMet = verdicts.has(false) ? false : verdicts.has(null) ? null : true
  const bound = `${isAtLeast ? '≥' : '≤'} ${format(limit, Number.isInteger(limit) ? 0 : 1)}${space}${unit}`
  const isMissing = all.every(({ value }) => value === null)
  return { what, limit: bound, measured: isMissing ? '–' : measured.join(', '), isMet }
}

export function targetTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ what, limit, measured, isMet }) => [what, limit, measured, inWords(isMet)])
  return table(['target', 'limit', 'measured', ''], rows)
}

function inWords(isMet: boolean | null): string {
  if (isMet === null) return 'not measured'
  return isMet ? 'met' : 'NOT met'
}
