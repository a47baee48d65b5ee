/** The last hour, day or week of a task: attempts that ended, how many of them failed, and how long they ran. */
import { useSignal } from '@preact/signals'
import type { TaskStatsView } from 'forerunner/client'
import { useEffect } from 'preact/hooks'
import { client, serviceNow } from '../shell/service.ts'
import { clockOf, countOf, millisecondsOf } from '../time/format.ts'

type Step = TaskStatsView['steps'][number]

const minuteMs = 60_000
/** Minutes. */
const spans = {
  hour: { length: 60, step: 1 },
  day: { length: 1_440, step: 10 },
  week: { length: 10_080, step: 60 },
} as const
type Span = keyof typeof spans

const [width, height] = [600, 96]

export function History({ task }: { readonly task: string }) {
  const span = useSignal<Span>('hour')
  const chosen = useSignal<Step | null>(null)
  const stats = useStats(task, span.value)
  const { length, step: stepMinutes } = spans[span.value]
  const stepMs = stepMinutes * minuteMs
  const end = Math.floor(serviceNow() / stepMs) * stepMs + stepMs
  const begin = end - length * minuteMs
  const steps = (stats?.steps ?? []).filter(({ at }) => Date.parse(at) >= begin)
  const top = Math.max(1, ...steps.map(endedIn))
  const xOf = (at: string): number => (width * (Date.parse(at) - begin)) / (length * minuteMs)
  const barWidth = (width * stepMinutes) / length
  const rise = (count: number): number => (height * count) / top

  const pick = (event: PointerEvent & { readonly currentTarget: Element }): void => {
    const { left, width: wide } = event.currentTarget.getBoundingClientRect()
    const at = begin + ((event.clientX - left) / wide) * length * minuteMs
    chosen.value = steps.find((one) => at >= Date.parse(one.at) && at < Date.parse(one.at) + stepMs) ?? null
  }
  return (
    <section class="card series history" aria-label="History">
      <div class="head">
        <h2>The last {span.value}</h2>
        <small>{chosen.value === null ? sumOf(steps) : `${clockOf(chosen.value.at)}: ${wordsOf(chosen.value)}`}</small>
        <span class="actions">
          {Object.keys(spans).map((name) => (
            <button
              key={name}
              class="btn small"
              type="button"
              aria-pressed={span.value === name}
              onClick={() => (span.value = name as Span)}
            >
              {name}
            </button>
          ))}
        </span>
      </div>
      <div
        class="chart"
        role="img"
        aria-label={`${task} in the last ${span.value}: ${sumOf(steps)}`}
        onPointerMove={pick}
        onPointerDown={pick}
        onPointerLeave={() => (chosen.value = null)}
      >
        <span class="top">{top.toLocaleString('en')}</span>
        <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
          <path class="rule" d={`M0 0H${width}M0 ${height}H${width}`} />
          {steps.map((one) => (
            <g key={one.at}>
              <rect
                x={xOf(one.at)}
                y={height - rise(endedIn(one))}
                width={barWidth * 0.85}
                height={rise(endedIn(one))}
              />
              <rect
                class="failed"
                x={xOf(one.at)}
                y={height - rise(failedIn(one))}
                width={barWidth * 0.85}
                height={rise(failedIn(one))}
              />
            </g>
          ))}
        </svg>
        {(stats?.starts ?? [])
          .filter((at) => Date.parse(at) >= begin)
          .map((at) => (
            <span
              key={at}
              class="chart-mark started"
              title={`${clockOf(at)}: a process started`}
              style={{ '--x': xOf(at) / width }}
            >
              ▲
            </span>
          ))}
        {stats !== null && steps.length === 0 && <span class="none">nothing has ended</span>}
      </div>
      <div class="ends" aria-hidden="true">
        <span>
          {span.value === 'hour' ? 'an' : 'a'} {span.value} ago
        </span>
        <span>now</span>
      </div>
    </section>
  )
}

/** Polled every minute, because the service adds a minute when it is over. */
function useStats(task: string, span: Span): TaskStatsView | null {
  const stats = useSignal<TaskStatsView | null>(null)
  useEffect(() => {
    const end = new AbortController()
    const { length, step } = spans[span]
    const look = async (): Promise<void> => {
      const from = new Date(serviceNow() - length * minuteMs)
      try {
        stats.value = await client.peek().taskStats(task, { from, stepMinutes: step, signal: end.signal })
      } catch {
        // The rest of the page says that the service is unreachable.
      }
    }
    void look()
    const timer = setInterval(() => void look(), minuteMs)
    return () => {
      clearInterval(timer)
      end.abort()
    }
  }, [task, span])
  return stats.value
}

function endedIn({ completed, failed, retried }: Step): number {
  return completed + failed + retried
}

function failedIn({ failed, retried }: Step): number {
  return failed + retried
}

function sumOf(steps: readonly Step[]): string {
  const ended = steps.reduce((sum, step) => sum + endedIn(step), 0)
  const failed = steps.reduce((sum, step) => sum + failedIn(step), 0)
  return `${countOf(ended, 'attempt')}, ${failed.toLocaleString('en')} failed`
}

function wordsOf(step: Step): string {
  const { p50, p99 } = step.runMs
  const took = p50 === null || p99 === null ? '' : `, ran ${millisecondsOf(p50)} / ${millisecondsOf(p99)}`
  return `${sumOf([step])}${took}`
}
