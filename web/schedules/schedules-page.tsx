/** The schedules: the next and the last tick of each, and the outcome of the last one. */
import type { ScheduleView } from 'forerunner/client'
import { useEffect, useMemo } from 'preact/hooks'
import { AsCommands } from '../shell/commands.tsx'
import { CopyButton } from '../shell/copy-button.tsx'
import { addressOf, shortIdOf } from '../shell/route.ts'
import { baseUrl, curlKey } from '../shell/service.ts'
import { secondNow } from '../time/clock.ts'
import { agoOf, countOf, durationOf } from '../time/format.ts'
import { wordsOfCron } from './cron-words.ts'
import { createScheduleStore, type ScheduleStore } from './schedule-store.ts'
import { bothZones } from './tick-time.ts'

export function SchedulesPage() {
  const store = useMemo(createScheduleStore, [])
  useEffect(() => {
    document.title = 'Schedules · Forerunner'
    store.start()
    return store.stop
  }, [store])
  const schedules = store.schedules.value
  return (
    <>
      <h1>{schedules === null ? 'Schedules' : sentenceOf(schedules, secondNow.value)}</h1>
      <p class="alert" role="alert">
        {store.trouble.value}
      </p>
      {schedules?.length === 0 && <None />}
      {schedules !== null && schedules.length > 0 && (
        <ul class="card schedules">
          {schedules.map((schedule) => (
            <Schedule key={schedule.name} schedule={schedule} store={store} />
          ))}
        </ul>
      )}
    </>
  )
}

function sentenceOf(schedules: readonly ScheduleView[], now: number): string {
  if (schedules.length === 0) return 'No schedules yet.'
  const next = schedules
    .filter(({ nextAt }) => nextAt !== null)
    .toSorted((one, other) => Date.parse(one.nextAt ?? '') - Date.parse(other.nextAt ?? ''))[0]
  const count = countOf(schedules.length, 'schedule')
  if (next === undefined) return `${count}, and no tick follows.`
  return `${count}; ${next.name} is next, ${inTime(next.nextAt, now)}.`
}

function inTime(instant: string | null, now: number): string {
  const leftMs = instant === null ? 0 : Date.parse(instant) - now
  return leftMs <= 0 ? 'now' : `in ${durationOf(leftMs)}`
}

function Schedule({ schedule, store }: { readonly schedule: ScheduleView; readonly store: ScheduleStore }) {
  const { name, cron, timeZone, request, declared, paused } = schedule
  const started = store.started.value.get(name)
  const words = wordsOfCron(cron)
  return (
    <li>
      <div class="what">
        <h2>
          <a class="task-link" href={addressOf({ tag: `schedule:${name}` })}>
            {name}
          </a>
          {paused && <span class="paused">❚❚ paused</span>}
          {declared && (
            <small class="dim" title="It can be paused, and is changed in the code.">
              in code
            </small>
          )}
        </h2>
        <p>
          {words ?? <code>{cron}</code>}
          {words !== null && <code class="dim"> {cron}</code>}
        </p>
        <small class="dim">
          {tasksOf(request.tasks.map((task) => task.name))} · {missedWords[schedule.missed]}
        </small>
      </div>
      <dl>
        <div>
          <dt>next</dt>
          <dd>{nextOf(schedule, secondNow.value)}</dd>
        </div>
        <div>
          <dt>last</dt>
          <dd>
            <Last schedule={schedule} />
          </dd>
        </div>
        {schedule.problem !== null && (
          <div class="is-failed">
            <dt>skipped</dt>
            <dd>
              ✕ {bothZones(schedule.problem.at, timeZone)}: {schedule.problem.detail}
            </dd>
          </div>
        )}
      </dl>
      <span class="actions">
        <button class="btn small" type="button" onClick={() => void store.run(name)}>
          Run now
        </button>
        <button class="btn small" type="button" onClick={() => void store.setPaused(name, !paused)}>
          {paused ? 'Resume' : 'Pause'}
        </button>
        <AsCommands
          actions={['run', paused ? 'resume' : 'pause'].map((verb) => ({
            path: `schedules/${encodeURIComponent(name)}/${verb}`,
            words: ['schedules', verb, name],
          }))}
        />
        <span role="status">
          {started !== undefined && (
            <a class="mono" href={addressOf({ run: started })}>
              started …{shortIdOf(started)}
            </a>
          )}
        </span>
      </span>
    </li>
  )
}

const missedWords: Readonly<Record<ScheduleView['missed'], string>> = {
  one: 'missed ticks make one run',
  skip: 'missed ticks are skipped',
  all: 'missed ticks make a run each',
}

function nextOf({ nextAt, paused, timeZone }: ScheduleView, now: number): string {
  if (nextAt === null) return paused ? 'not while it is paused' : 'never: no date follows'
  return `${inTime(nextAt, now)} · ${bothZones(nextAt, timeZone)}`
}

function Last({ schedule: { lastAt, lastRunId, timeZone } }: { readonly schedule: ScheduleView }) {
  if (lastAt === null) return <>it has not ticked yet</>
  const text = agoOf(secondNow.value - Date.parse(lastAt))
  return (
    <>
      {lastRunId === null ? text : <a href={addressOf({ run: lastRunId })}>{text}</a>} · {bothZones(lastAt, timeZone)}
    </>
  )
}

/** `report`, `fetch, render and 3 more` */
function tasksOf(names: readonly string[]): string {
  return names.length <= 3 ? names.join(', ') : `${names.slice(0, 2).join(', ')} and ${names.length - 2} more`
}

function None() {
  const body = JSON.stringify({ cron: '0 3 * * *', timeZone: 'Europe/Berlin', request: { tasks: [{ name: 'first' }] } })
  const url = new URL('schedules/nightly', baseUrl).href
  const curl = `curl${curlKey()} -X PUT ${url} -H 'Content-Type: application/json' -d '${body}'`
  return (
    <section class="card">
      <p class="empty">
        A schedule makes a run at times of a cron pattern. A task can have one in its code, and this makes another:
      </p>
      <div class="curl">
        <pre tabIndex={0}>{curl}</pre>
        <CopyButton text={curl} />
      </div>
    </section>
  )
}
