/** What each thread is running. */
import type { RecentView, StatsView } from 'forerunner/client'
import { addressOf } from '../shell/route.ts'
import { secondNow } from '../time/clock.ts'
import { durationOf, shareOf } from '../time/format.ts'

type Attempt = RecentView['running'][number]
type Thread = StatsView['threads'][number]

const shownAttempts = 4
const mostOfTask = 12

export function Threads({
  threads,
  running,
}: {
  readonly threads: readonly Thread[]
  readonly running: readonly Attempt[]
}) {
  const byThread = Map.groupBy(running, ({ thread }) => thread)
  return (
    <section class="card threads" aria-label="Threads">
      <div class="head">
        <h2>Threads</h2>
        <small>what each runs now</small>
      </div>
      <table>
        <thead>
          <tr>
            <th scope="col">Thread</th>
            <th scope="col">Runs</th>
            <th scope="col" class="num">
              Busy since the start
            </th>
          </tr>
        </thead>
        <tbody>
          <Row name="main" note="HTTP, first jobs" attempts={byThread.get('main') ?? []} />
          {threads.map((thread) => (
            <Row
              key={thread.name}
              name={thread.name}
              note={thread.state === 'ready' ? thread.kind : `${thread.kind}, ${thread.state}`}
              attempts={byThread.get(thread.name) ?? []}
              busyShare={thread.busyShare}
            />
          ))}
        </tbody>
      </table>
    </section>
  )
}

/** Running attempts of one task. */
export function Running({ attempts }: { readonly attempts: readonly Attempt[] }) {
  if (attempts.length === 0) return null
  return (
    <section class="card" aria-label="Running now">
      <div class="head">
        <h2>Running now</h2>
        <small>{attempts.length}</small>
      </div>
      <p class="running-now">
        {attempts.slice(0, mostOfTask).map((attempt) => (
          <AttemptNow key={`${attempt.runId}/${attempt.jobIndex}`} attempt={attempt} label={attempt.thread} />
        ))}
        {attempts.length > mostOfTask && <span class="dim">and {attempts.length - mostOfTask} more</span>}
      </p>
    </section>
  )
}

interface RowProps {
  readonly name: string
  readonly note: string
  readonly attempts: readonly Attempt[]
  readonly busyShare?: number
}

function Row({ name, note, attempts, busyShare }: RowProps) {
  return (
    <tr>
      <th scope="row">
        <b class="mono">{name}</b> <small class="dim">{note}</small>
      </th>
      <td>
        {attempts.length === 0 && <span class="faint">idle</span>}
        {attempts.slice(0, shownAttempts).map((attempt) => (
          <AttemptNow key={`${attempt.runId}/${attempt.jobIndex}`} attempt={attempt} label={attempt.task} />
        ))}
        {attempts.length > shownAttempts && <span class="dim">and {attempts.length - shownAttempts} more</span>}
      </td>
      <td class="num">{busyShare === undefined ? '' : <Busy share={busyShare} />}</td>
    </tr>
  )
}

function AttemptNow({ attempt: given, label }: { readonly attempt: Attempt; readonly label: string }) {
  const { runId, jobIndex, attempt, startedAt } = given
  return (
    <a class="attempt-now" href={addressOf({ run: runId, job: jobIndex })}>
      <span class="is-running" aria-hidden="true">
        ◐
      </span>{' '}
      {label}
      {attempt > 1 && <small class="dim"> attempt {attempt}</small>}{' '}
      <small class="dim">{durationOf(Math.max(0, secondNow.value - Date.parse(startedAt)))}</small>
    </a>
  )
}

function Busy({ share }: { readonly share: number }) {
  return (
    <span class="busy">
      <i style={{ '--w': Math.min(1, share) }} />
      {shareOf(share, 1)}
    </span>
  )
}
