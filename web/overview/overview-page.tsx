/** The service in figures: what it is running, how fast it is, and whether any job is lost. */
import type { RecentView, StatsView } from 'forerunner/client'
import { useEffect, useMemo } from 'preact/hooks'
import { Figure } from '../runs/figures.tsx'
import { countOf, durationOf, millisecondsOf, rateOf, shareOf } from '../time/format.ts'
import { createOverviewStore } from './overview-store.ts'
import { Marks } from './marks.tsx'
import { Series, type Line, type Slot } from './series.tsx'
import { TaskTable } from './task-table.tsx'
import { Threads } from './threads.tsx'

export function OverviewPage() {
  const store = useMemo(createOverviewStore, [])
  useEffect(() => {
    document.title = 'Overview · Forerunner'
    store.start()
    return store.stop
  }, [store])
  const [stats, recent] = [store.stats.value, store.recent.value]
  return (
    <>
      {stats === null || recent === null ? <h1>Overview</h1> : <Headline stats={stats} recent={recent} />}
      <p class="alert" role="alert">
        {store.trouble.value}
      </p>
      {stats !== null && recent !== null && (
        <>
          <Figures stats={stats} recent={recent} />
          <Charts recent={recent} />
          <Threads threads={stats.threads} running={recent.running} />
          <TaskTable recent={recent} />
          <Marks marks={recent.events} />
        </>
      )}
    </>
  )
}

interface Shown {
  readonly stats: StatsView
  readonly recent: RecentView
}

function Headline({ stats, recent }: Shown) {
  const waiting = (stats.jobs.queued ?? 0) + (stats.jobs.retrying ?? 0)
  const { p50 } = recent.firstResponseMs
  const queue = waiting === 0 ? 'nothing waits' : `${countOf(waiting, 'job')} ${waiting === 1 ? 'waits' : 'wait'}`
  const oldest = stats.oldestQueuedMs === null ? '' : `, the oldest due for ${durationOf(stats.oldestQueuedMs)}`
  return (
    <h1>
      {countOf(stats.jobs.running ?? 0, 'job')} running, {queue}
      {oldest}
      {p50 === null ? (
        '.'
      ) : (
        <>
          ; half of the answers leave within <em>{millisecondsOf(p50)}</em>.
        </>
      )}
    </h1>
  )
}

function Figures({ stats, recent }: Shown) {
  const { accepted, final, live, lost } = stats.conservation
  const last = recent.slots.at(-1)
  const perSecond = (jobs: number | undefined): string =>
    jobs === undefined ? '–' : rateOf((jobs * 1_000) / recent.slotMs)
  const number = (value: number): string => value.toLocaleString('en')
  return (
    <dl class="card overview tall figures">
      <Figure
        value={`${perSecond(last?.accepted)} / ${perSecond(last?.final)}`}
        name="jobs accepted / finished per second"
      />
      <Figure value={pairOf(recent.firstResponseMs)} name="first response, p50 / p99" />
      <Figure value={pairOf(recent.queueWaitMs)} name="queue wait, p50 / p99" />
      <Figure value={number(stats.backlog)} name={backlogNote(stats)} />
      <Figure
        value={number(lost)}
        name={`lost: ${number(accepted)} accepted = ${number(final)} final + ${number(live)} live`}
      />
    </dl>
  )
}

function backlogNote({ oldestQueuedMs, unknownTasks }: StatsView): string {
  const unknown = Object.values(unknownTasks).reduce((sum, count) => sum + count, 0)
  if (unknown > 0) return `jobs not final; ${unknown} of tasks that no process has`
  return oldestQueuedMs === null
    ? 'jobs not final, none of them overdue'
    : `jobs not final, the oldest due for ${durationOf(oldestQueuedMs)}`
}

function pairOf({ p50, p99 }: RecentView['firstResponseMs']): string {
  return p50 === null || p99 === null ? '–' : `${millisecondsOf(p50)} / ${millisecondsOf(p99)}`
}

const both = (of: (slot: Slot) => RecentView['firstResponseMs'], kind: string): readonly Line[] => [
  { name: 'p50', kind, valueOf: (slot) => of(slot).p50 },
  { name: 'p99', kind: `${kind} high`, valueOf: (slot) => of(slot).p99 },
]
const answers = both(({ firstResponseMs }) => firstResponseMs, 'answer')
const waits = both(({ queueWaitMs }) => queueWaitMs, 'wait')
const delay: readonly Line[] = [{ name: 'p99', kind: 'delay', valueOf: (slot) => slot.eventLoopDelayMs }]
const cpu: readonly Line[] = [{ name: 'of all cores', kind: 'cpu', valueOf: (slot) => slot.cpuShare }]

function Charts({ recent: { slots, slotMs, events } }: { readonly recent: RecentView }) {
  const perSecond = (jobs: number): number => (jobs * 1_000) / slotMs
  const jobs: readonly Line[] = [
    { name: 'accepted', kind: 'accepted', valueOf: (slot) => perSecond(slot.accepted) },
    { name: 'finished', kind: 'finished', valueOf: (slot) => perSecond(slot.final) },
  ]
  const common = { slots, slotMs, marks: events }
  return (
    <div class="charts">
      <Series {...common} title="Jobs per second" lines={jobs} textOf={rateOf} least={1} />
      <Series {...common} title="First response" lines={answers} textOf={millisecondsOf} least={1} />
      <Series {...common} title="Queue wait" lines={waits} textOf={millisecondsOf} least={1} />
      <Series
        {...common}
        title="Event-loop delay"
        note="how late the main thread comes to its work"
        lines={delay}
        textOf={millisecondsOf}
        least={10}
      />
      <Series {...common} title="CPU" lines={cpu} textOf={(share) => shareOf(share, 1)} least={1} />
    </div>
  )
}
