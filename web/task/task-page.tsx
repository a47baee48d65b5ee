/** One task: how often and how fast it runs, why it fails, and whether it is paused. */
import type { RecentView, RunView, TaskView } from 'forerunner/client'
import { useEffect, useMemo } from 'preact/hooks'
import { Running } from '../overview/threads.tsx'
import { Figure } from '../runs/figures.tsx'
import { RunTable } from '../runs/run-table.tsx'
import { AsCommands, type Action } from '../shell/commands.tsx'
import { addressOf, overviewAddress, startAddress } from '../shell/route.ts'
import { countOf, millisecondsOf, rateOf, settingOf } from '../time/format.ts'
import { History } from './history.tsx'
import { Failures } from './failures.tsx'
import { createTaskStore } from './task-store.ts'

type Figures = RecentView['tasks'][number]

const minuteMs = 60_000

export function TaskPage({ name }: { readonly name: string }) {
  const store = useMemo(() => createTaskStore(name), [name])
  useEffect(() => {
    document.title = `${name} · Forerunner`
    store.start()
    return store.stop
  }, [store])
  const [task, recent] = [store.task.value, store.recent.value]
  const figures = recent?.tasks.find((one) => one.name === name)
  const minutes = (recent?.windowMs ?? minuteMs) / minuteMs
  return (
    <>
      <div class="crumb">
        <a href={overviewAddress}>Overview</a> / <span class="mono">{name}</span>
      </div>
      <h1>{task?.paused === true ? `${name} is paused: its jobs wait.` : sentenceOf(name, figures, minutes)}</h1>
      <div class="sub">
        {task === null && <span>No process that answers here has this task.</span>}
        {task?.paused === true && <span class="paused">❚❚ paused</span>}
        {task && <Policy task={task} />}
        <span class="actions">
          {task && (
            <button class="btn" type="button" onClick={() => void store.setPaused(!task.paused)}>
              {task.paused ? 'Resume' : 'Pause'}
            </button>
          )}
          <a class="btn" href={addressOf({ task: name })}>
            Its runs
          </a>
          {task && (
            <a class="btn" href={`${startAddress}&task=${encodeURIComponent(name)}`}>
              Start one…
            </a>
          )}
          {task && <AsCommands actions={[actionOf(task)]} />}
        </span>
      </div>
      <p class="alert" role="alert">
        {store.trouble.value}
      </p>
      {recent !== null && <Numbers figures={figures} minutes={minutes} />}
      {recent !== null && <Running attempts={recent.running.filter((attempt) => attempt.task === name)} />}
      <History task={name} />
      <Failures task={name} report={store.failures.value} />
      <LastRuns runs={store.runs.value} />
    </>
  )
}

function actionOf({ name, paused }: TaskView): Action {
  const verb = paused ? 'resume' : 'pause'
  return { path: `tasks/${encodeURIComponent(name)}/${verb}`, words: [verb, name] }
}

function sentenceOf(name: string, figures: Figures | undefined, minutes: number): string {
  if (figures === undefined || figures.runMs.count === 0) return `${name} has ended no attempt in these minutes.`
  const { count, p50 } = figures.runMs
  const rate = `${name} runs ${rateOf(count / minutes)} times a minute`
  const took = p50 === null ? '' : `; half of its attempts take less than ${millisecondsOf(p50)}`
  const failed = figures.failed === 0 ? ', and none has failed' : `, and ${countOf(figures.failed, 'job')} failed`
  return `${rate}${took}${failed}.`
}

function Policy({ task }: { readonly task: TaskView }) {
  const { kind, timeoutMs, maxAttempts, concurrency, rate, memoryMb, main, isolation } = task
  return (
    <>
      <span>
        {isolation === 'process' ? 'one in a process' : kind === 'cpu' ? 'one on a thread' : 'many on a thread'}
      </span>
      <span>{concurrency === null ? 'no limit at once' : `${concurrency} at once`}</span>
      {rate !== null && (
        <span>
          {countOf(rate.limit, 'start')} in {settingOf(rate.perMs)}
        </span>
      )}
      <span>{countOf(maxAttempts, 'attempt')}</span>
      <span>{settingOf(timeoutMs)} each</span>
      {kind === 'cpu' && <span>{memoryMb} MiB</span>}
      {main !== 'auto' && isolation !== 'process' && (
        <span>{main === 'never' ? 'never' : 'always'} on the main thread</span>
      )}
    </>
  )
}

function Numbers({ figures, minutes }: { readonly figures: Figures | undefined; readonly minutes: number }) {
  const pair = (quantiles: Figures['runMs'] | undefined): string => {
    const { p50 = null, p99 = null } = quantiles ?? {}
    return p50 === null || p99 === null ? '–' : `${millisecondsOf(p50)} / ${millisecondsOf(p99)}`
  }
  return (
    <dl class="card overview figures">
      <Figure value={rateOf((figures?.runMs.count ?? 0) / minutes)} name="attempts a minute" />
      <Figure value={pair(figures?.waitMs)} name="waited for a thread, p50 / p99" />
      <Figure value={pair(figures?.runMs)} name="ran, p50 / p99" />
      <Figure value={(figures?.retried ?? 0).toLocaleString('en')} name={`tried again, in ${minutes} minutes`} />
      <Figure value={(figures?.failed ?? 0).toLocaleString('en')} name={`failed for good, in ${minutes} minutes`} />
    </dl>
  )
}

function LastRuns({ runs }: { readonly runs: readonly RunView[] }) {
  if (runs.length === 0) return null
  return (
    <section aria-label="Last runs">
      <h2 class="above">Its last runs</h2>
      <div class="card runs">
        <RunTable runs={runs} />
      </div>
    </section>
  )
}
