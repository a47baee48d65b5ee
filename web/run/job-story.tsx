/** The details of one job: its attempts with their errors, its result, and the actions on it. */
import { useSignal } from '@preact/signals'
import type { JobView } from 'forerunner/client'
import { useEffect } from 'preact/hooks'
import { prettyJson, RawJson, writeJson } from '../../src/domain/json.ts'
import { download, readBounded } from '../shell/bounded-read.ts'
import { AsCommands } from '../shell/commands.tsx'
import { addressOf } from '../shell/route.ts'
import { wordsOf } from '../shell/service.ts'
import { StateMark } from '../shell/state.tsx'
import { durationOf, shareOf } from '../time/format.ts'
import { JobInput } from './job-input.tsx'
import { JobLog } from './job-log.tsx'
import { JsonText, svgAddress } from './json-text.tsx'
import type { LiveJob } from './run-store.ts'
import { WhyWaiting } from './why-waiting.tsx'
import { isFinal, segmentsOf, type Segment } from './segments.ts'
import { StepList } from './steps.tsx'

export interface JobStoryProps {
  readonly runId: string
  readonly job: LiveJob
  readonly start: number
  readonly onCancel: (index: number) => void
  readonly onRetry: (index: number) => void
}

/** A larger result is offered as a download. */
const maxJobBytes = 2 ** 18

type ErrorView = NonNullable<JobView['error']>

export function JobStory({ runId, job, start, onCancel, onRetry }: JobStoryProps) {
  const whole = useWhole(runId, job.view.value)
  const { index, task, state, thread, attempt, maxAttempts } = whole
  const canRetry = state === 'failed' || state === 'cancelled'
  return (
    <div class="cols">
      <div>
        <section class="card" aria-label={`Job ${index}, ${task}`}>
          <div class="head">
            <h2>
              <a class="task-link" href={addressOf({ about: task })}>
                {task}
              </a>
            </h2>
            <StateMark state={state} />
            <small>
              job {index} · attempt {attempt} of {maxAttempts} · {thread ?? 'not started'}
            </small>
            <span class="actions">
              {canRetry && (
                <button class="btn small" type="button" onClick={() => onRetry(index)}>
                  Retry
                </button>
              )}
              {!isFinal(state) && (
                <button class="btn small danger" type="button" onClick={() => onCancel(index)}>
                  Cancel job
                </button>
              )}
              <AsCommands
                actions={[canRetry && 'retry', !isFinal(state) && 'cancel'].flatMap((verb) =>
                  verb === false
                    ? []
                    : { path: `runs/${runId}/jobs/${index}/${verb}`, words: [verb, runId, String(index)] },
                )}
              />
            </span>
          </div>
          <ol class="story">
            {segmentsOf(whole, start).map((segment) => (
              <Chapter
                key={segment.from + segment.kind}
                runId={runId}
                job={whole}
                progress={job.progress}
                segment={segment}
              />
            ))}
            {state === 'cancelled' && <Ending job={whole} start={start} />}
          </ol>
          <StepList steps={whole.steps} start={start} />
        </section>
        <JobLog runId={runId} job={whole} start={start} />
        <JobInput runId={runId} job={whole} />
      </div>
      <Result runId={runId} job={whole} />
    </div>
  )
}

/** Events omit large results and failures; the job itself has them. */
function useWhole(runId: string, job: JobView): JobView {
  const fetched = useSignal<JobView | null>(null)
  const isCut = job.resultBytes !== undefined || job.failures === undefined
  useEffect(() => {
    if (!isCut) return undefined
    const end = new AbortController()
    readBounded(`runs/${runId}/jobs/${job.index}`, maxJobBytes, end.signal)
      .then((whole) => (fetched.value = whole as JobView | null))
      // Then the data of the event is shown.
      .catch(() => {})
    return () => end.abort()
  }, [runId, job.index, job.state, isCut])
  const whole = fetched.value
  return isCut && whole !== null && whole.index === job.index && whole.state === job.state ? whole : job
}

interface ChapterProps {
  readonly runId: string
  readonly job: JobView
  readonly progress: LiveJob['progress']
  readonly segment: Segment
}

function Chapter({ runId, job, progress, segment }: ChapterProps) {
  const { kind, from, to, attempt } = segment
  const lasts = to === null ? '' : durationOf(to - from)
  const failure = attempt === null ? undefined : job.failures?.[attempt - 1]
  const error = kind === 'failed' || kind === 'cancelled' ? (failure?.error ?? job.error) : null
  return (
    <li>
      <time>+{durationOf(from)}</time>
      <div>
        {(kind === 'waiting' || kind === 'backoff') && to === null && (
          <>
            <b class="is-waiting">◌ Waiting.</b> <WhyWaiting runId={runId} job={job} />
          </>
        )}
        {kind === 'waiting' && to !== null && <span class="dim">waited {lasts} for a thread</span>}
        {kind === 'lost' && (
          <>
            <b>⚡ Lost with its process</b>, and taken back {lasts} after its start; this spends no attempt
          </>
        )}
        {kind === 'backoff' && to !== null && <span class="dim">waited {lasts} to try again</span>}
        {kind === 'running' && (
          <>
            <b class="is-running">◐ Attempt {attempt}</b> is running
            {progress.value !== null && `, ${shareOf(progress.value, 1)} done`}
          </>
        )}
        {kind === 'completed' && (
          <>
            <b class="is-completed">✓ Attempt {attempt}</b> completed after {lasts}
          </>
        )}
        {kind === 'failed' && (
          <>
            <b class="is-failed">✕ Attempt {attempt}</b> failed after {lasts}
          </>
        )}
        {kind === 'cancelled' && (
          <>
            <b class="is-cancelled">– Attempt {attempt}</b> was cancelled after {lasts}
          </>
        )}
        {error !== null && <ErrorText error={error} />}
      </div>
    </li>
  )
}

/** For a job that was cancelled before it ran. */
function Ending({ job, start }: { readonly job: JobView; readonly start: number }) {
  if (job.startedAt !== null || job.finishedAt === null) return null
  return (
    <li>
      <time>+{durationOf(Date.parse(job.finishedAt) - start)}</time>
      <div>
        <b class="is-cancelled">– Cancelled</b> before it had started
      </div>
    </li>
  )
}

function ErrorText({ error }: { readonly error: ErrorView }) {
  const { code, message, name, taskCode, status, exitCode, stack, cause } = error
  const marks = [code, taskCode, status, exitCode === undefined ? undefined : `exit code ${exitCode}`]
  return (
    <div class="error">
      <code>{name === undefined ? message : `${name}: ${message}`}</code>
      <small>{marks.filter((mark) => mark !== undefined).join(' · ')}</small>
      {cause !== undefined && (
        <small>caused by {cause.name === undefined ? cause.message : `${cause.name}: ${cause.message}`}</small>
      )}
      {stack !== undefined && (
        <details>
          <summary>stack</summary>
          <pre tabIndex={0}>{stack}</pre>
        </details>
      )}
    </div>
  )
}

function LargeResult({ runId, job, bytes }: ResultProps & { readonly bytes: number }) {
  const trouble = useSignal('')
  const fetchIt = (): void => {
    download(`runs/${runId}/jobs/${job.index}`, `${job.task}-${job.index}.json`).catch(
      (error: unknown) => (trouble.value = wordsOf(error)),
    )
  }
  return (
    <div class="foot">
      <span class="dim">{trouble.value || `${bytes.toLocaleString('en')} bytes, too many to be shown here`}</span>
      <button class="btn small" type="button" onClick={fetchIt}>
        download the job
      </button>
    </div>
  )
}

interface ResultProps {
  readonly runId: string
  readonly job: JobView
}

function Result({ runId, job }: ResultProps) {
  if (job.state !== 'completed') {
    const when = isFinal(job.state) ? 'There is no result.' : 'The result is shown here when the job has completed.'
    return (
      <section class="card" aria-label="Result">
        <div class="head">
          <h2>Result</h2>
        </div>
        <p class="empty">{when}</p>
      </section>
    )
  }
  const image = job.result instanceof RawJson ? svgAddress(job.result.parse()) : null
  return (
    <section class="card" aria-label="Result">
      <div class="head">
        <h2>Result of {job.task}</h2>
      </div>
      {image !== null && <img class="picture" src={image} alt={`Drawn by ${job.task}`} />}
      {job.resultBytes !== undefined && job.result === undefined ? (
        <LargeResult runId={runId} job={job} bytes={job.resultBytes} />
      ) : (
        <JsonText text={prettyJson(writeJson(job.result ?? null))} name={`${job.task}-${job.index}`} />
      )}
    </section>
  )
}
