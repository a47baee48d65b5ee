/** One run: its summary, its timeline, and the details of one of its jobs. */
import { useComputed, useSignal } from '@preact/signals'
import type { RunView } from 'forerunner/client'
import { useEffect, useMemo } from 'preact/hooks'
import { AsCommands, type Action } from '../shell/commands.tsx'
import { CopyButton } from '../shell/copy-button.tsx'
import { useKeys } from '../shell/keys.ts'
import { addressOf, go, route, shortIdOf } from '../shell/route.ts'
import { baseUrl, client, curlKey, serviceNow, wordsOf } from '../shell/service.ts'
import { StateMark } from '../shell/state.tsx'
import { againTag, Tag } from '../shell/tag.tsx'
import { secondNow } from '../time/clock.ts'
import { clockOf, countOf } from '../time/format.ts'
import { Deliveries } from './deliveries.tsx'
import { Headline } from './headline.tsx'
import { JobStory } from './job-story.tsx'
import { JobTable } from './job-table.tsx'
import { createRunStore } from './run-store.ts'
import { isFinal } from './segments.ts'
import { Timeline } from './timeline.tsx'

const shownAgain = 3

export function RunPage({ id }: { readonly id: string }) {
  const store = useMemo(() => createRunStore(id), [id])
  const isTable = useSignal(false)
  const said = useSignal('')
  useEffect(() => {
    document.title = `Run …${shortIdOf(id)} · Forerunner`
    store.follow()
    return store.stop
  }, [store])

  const selected = useComputed(() => {
    const shown = route.value
    const named = shown.page === 'run' ? shown.job : null
    return named !== null && named < store.jobs.value.length ? named : mostTelling(store.run.value)
  })
  const select = (index: number): void => go(addressOf({ run: id, job: index }), false)
  useKeys({
    t: () => (isTable.value = !isTable.peek()),
    j: () => select(Math.min(store.jobs.peek().length - 1, selected.peek() + 1)),
    k: () => select(Math.max(0, selected.peek() - 1)),
  })

  const run = store.run.value
  if (run === null) return <Absent id={id} trouble={store.trouble.value} />
  const start = Date.parse(run.createdAt)
  const act = async (change: () => Promise<void>): Promise<void> => {
    said.value = ''
    try {
      await change()
    } catch (error) {
      said.value = wordsOf(error)
    }
  }
  const job = store.jobs.value[selected.value]
  return (
    <>
      <div class="crumb">
        <a href="./">Runs</a> / <span class="mono">{run.id}</span>
        <CopyButton text={`curl${curlKey()} ${new URL(`runs/${run.id}`, baseUrl).href}`} label="copy as curl" />
        <button
          class="btn small"
          type="button"
          aria-pressed={isTable.value}
          aria-keyshortcuts="t"
          onClick={() => (isTable.value = !isTable.value)}
        >
          as a table
        </button>
      </div>
      <Headline run={run} now={run.state === 'running' ? Math.max(secondNow.value, serviceNow()) : 0} />
      <Facts
        run={run}
        onCancel={() => void act(() => store.cancel())}
        onRetry={(indexes) => void act(() => store.retry(indexes))}
      />
      <p class="alert" role="alert">
        {said.value || store.trouble.value}
      </p>
      <Timeline run={store.run} jobs={store.jobs} selected={selected} onSelect={select} />
      <JobTable jobs={store.jobs} start={start} isShown={isTable.value} />
      {job !== undefined && (
        <JobStory
          key={selected.value}
          runId={id}
          job={job}
          start={start}
          onCancel={(index) => void act(() => store.cancel(index))}
          onRetry={(index) => void act(() => store.retry([index]))}
        />
      )}
      <Deliveries
        runId={id}
        deliveries={run.deliveries ?? []}
        onRetry={(each) => void act(() => store.redeliver(each))}
      />
    </>
  )
}

/** The runs that have repeated this one. */
function RunAgain({ id }: { readonly id: string }) {
  const found = useSignal<readonly string[]>([])
  useEffect(() => {
    const end = new AbortController()
    client
      .peek()
      .listRuns({ tag: againTag(id), pageSize: shownAgain }, { signal: end.signal })
      .then(({ runs }) => (found.value = runs.map((run) => run.id)))
      // Then they are not listed.
      .catch(() => {})
    return () => end.abort()
  }, [id])
  if (found.value.length === 0) return null
  return (
    <span>
      run again as{' '}
      {found.value.map((again) => (
        <a key={again} class="mono" href={addressOf({ run: again })}>
          …{shortIdOf(again)}{' '}
        </a>
      ))}
    </span>
  )
}

interface FactsProps {
  readonly run: RunView
  readonly onCancel: () => void
  readonly onRetry: (indexes: readonly number[]) => void
}

function Facts({ run, onCancel, onRetry }: FactsProps) {
  const failed = run.jobs.filter(({ state }) => state === 'failed').map(({ index }) => index)
  const done = run.jobs.filter(({ state }) => isFinal(state)).length
  return (
    <div class="sub">
      <StateMark state={run.state} />
      <span>
        {done.toLocaleString('en')} of {countOf(run.jobs.length, 'job')} done
      </span>
      <span>
        accepted <time dateTime={run.createdAt}>{clockOf(run.createdAt)}</time>
      </span>
      {run.tags.map((tag) => (
        <Tag key={tag} tag={tag} />
      ))}
      <RunAgain id={run.id} />
      <span class="actions">
        <a class="btn" href={addressOf({ start: run.id })}>
          Run again…
        </a>
        {failed.length > 1 && (
          <button class="btn" type="button" onClick={() => onRetry(failed)}>
            Retry {failed.length} failed jobs
          </button>
        )}
        {run.state === 'running' && (
          <button class="btn danger" type="button" onClick={onCancel}>
            Cancel
          </button>
        )}
        <AsCommands actions={actionsOf(run, failed)} />
      </span>
    </div>
  )
}

function actionsOf(run: RunView, failed: readonly number[]): Action[] {
  const actions: Action[] = []
  // The command also retries cancelled jobs. The braces are expanded by curl.
  if (failed.length > 1 && !run.jobs.some(({ state }) => state === 'cancelled'))
    actions.push({ path: `runs/${run.id}/jobs/{${failed.join(',')}}/retry`, words: ['retry', run.id] })
  if (run.state === 'running') actions.push({ path: `runs/${run.id}/cancel`, words: ['cancel', run.id] })
  return actions
}

/** While the run is loading, or if it does not exist. */
function Absent({ id, trouble }: { readonly id: string; readonly trouble: string }) {
  if (trouble === '') return <p class="empty">Reading run {id}…</p>
  return (
    <section class="card narrow">
      <h1>This run cannot be shown.</h1>
      <p>{trouble}</p>
      <p class="dim">Runs are forgotten after their retention time, or when somebody deletes them.</p>
      <a class="btn" href="./">
        All runs
      </a>
    </section>
  )
}

/** The job to select first: one that failed, otherwise the one that decided the answer. */
function mostTelling(run: RunView | null): number {
  const failed = run?.jobs.findIndex(({ state }) => state === 'failed') ?? -1
  return failed === -1 ? (run?.answer?.jobIndex ?? 0) : failed
}
