/** The failures of a task, grouped by message; each group shows when it occurred. */
import { addressOf } from '../shell/route.ts'
import { secondNow } from '../time/clock.ts'
import { agoOf, countOf } from '../time/format.ts'
import type { FailureReport } from './failure-groups.ts'

export function Failures({ task, report }: { readonly task: string; readonly report: FailureReport | null }) {
  const total = report?.groups.reduce((sum, { count }) => sum + count, 0) ?? 0
  return (
    <section class="card" aria-label="Failures">
      <div class="head">
        <h2>Failures by what they say</h2>
        <small>
          {report === null || total === 0
            ? ''
            : `${countOf(total, 'job')}, the first ${agoOf(secondNow.value - report.from)}`}
        </small>
        {total > 0 && (
          <span class="actions">
            <a class="btn small" href={addressOf({ task, state: 'failed' })}>
              all failed runs
            </a>
          </span>
        )}
      </div>
      {report !== null && total === 0 && <p class="empty">No job of it has failed, among the runs that are kept.</p>}
      <ul class="failure-groups">
        {report?.groups.map(({ says, code, count, course, last }) => (
          <li key={code + says}>
            <b class="is-failed">✕ {count.toLocaleString('en')}</b>
            <Course course={course} />
            <div>
              <code>{says}</code>
              <small class="dim">
                {code} · last{' '}
                <a href={addressOf({ run: last.runId, job: last.jobIndex })}>{agoOf(secondNow.value - last.at)}</a>
              </small>
            </div>
          </li>
        ))}
      </ul>
    </section>
  )
}

/** One bar for each part of the time range. */
function Course({ course }: { readonly course: readonly number[] }) {
  const most = Math.max(1, ...course)
  return (
    <span class="course" role="img" aria-label={`over time: ${course.join(', ')}`}>
      {course.map((count, part) => (
        <i key={part} style={{ '--h': count / most }} />
      ))}
    </span>
  )
}
