/** The log lines of a job, by attempt: the last lines of its run that the service keeps. */
import { useSignal } from '@preact/signals'
import type { JobView, LineView } from 'forerunner/client'
import { useEffect } from 'preact/hooks'
import { client } from '../shell/service.ts'
import { durationOf } from '../time/format.ts'
import { isFinal } from './segments.ts'

export interface JobLogProps {
  readonly runId: string
  readonly job: JobView
  readonly start: number
}

/** Interval of polls while the job is running. */
const lookEveryMs = 2_000
/** The limit of the service; a page that stays open must not hold more. */
const maxLines = 1_000

export function JobLog({ runId, job, start }: JobLogProps) {
  const lines = useLines(runId, job)
  const byAttempt = Map.groupBy(
    lines.filter(({ jobIndex }) => jobIndex === job.index),
    ({ attempt }) => attempt,
  )
  if (byAttempt.size === 0) return null
  return (
    <section class="card" aria-label="Log">
      <div class="head">
        <h2>Log of {job.task}</h2>
      </div>
      {[...byAttempt].map(([attempt, ofAttempt]) => (
        <div key={attempt}>
          {(byAttempt.size > 1 || job.attempt > 1) && <h3 class="log-attempt">Attempt {attempt}</h3>}
          <ol class="log" tabIndex={0}>
            {ofAttempt.map((line) => (
              <Line key={line.id} line={line} start={start} />
            ))}
          </ol>
        </div>
      ))}
    </section>
  )
}

/** The lines of the run, polled while the job may log more. */
function useLines(runId: string, { index, state }: JobView): readonly LineView[] {
  const lines = useSignal<readonly LineView[]>([])
  useEffect(() => {
    const end = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = async (): Promise<void> => {
      const after = lines.peek().at(-1)?.id ?? 0
      try {
        const page = await client.peek().getLog(runId, { after, signal: end.signal })
        if (page.lines.length > 0) lines.value = [...lines.peek(), ...page.lines].slice(-maxLines)
      } catch {
        // The next poll, or the next change of the job, gets them.
      }
      if (!end.signal.aborted && !isFinal(state)) timer = setTimeout(() => void look(), lookEveryMs)
    }
    void look()
    return () => {
      clearTimeout(timer)
      end.abort()
    }
  }, [runId, index, state])
  return lines.value
}

function Line({
  line: { at, level, message, fields, error },
  start,
}: {
  readonly line: LineView
  readonly start: number
}) {
  const more = [fields, error].filter((value) => value !== undefined).map((value) => JSON.stringify(value))
  return (
    <li class={`is-${level}`}>
      <time title={at}>+{durationOf(Date.parse(at) - start)}</time>
      <span class="level">{level}</span>
      <span>
        {message} {more.length > 0 && <code class="dim">{more.join(' ')}</code>}
      </span>
    </li>
  )
}
