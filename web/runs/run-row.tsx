/** One run in the list, with a miniature timeline: the line of the answer, and the work on both sides of it. */
import type { RunView } from 'forerunner/client'
import { endOf, segmentsOf } from '../run/segments.ts'
import { timeScaleOf } from '../run/time-scale.ts'
import { addressOf, shortIdOf } from '../shell/route.ts'
import { StateMark } from '../shell/state.tsx'
import { Tag } from '../shell/tag.tsx'
import { secondNow } from '../time/clock.ts'
import { ageOf, durationOf } from '../time/format.ts'

const shownTasks = 3
const shownTags = 2
const miniLanes = 4

export function RunRow({ run }: { readonly run: RunView }) {
  const start = Date.parse(run.createdAt)
  const since = (instant: string | null): string => (instant === null ? '' : durationOf(Date.parse(instant) - start))
  return (
    <tr>
      <td>
        <StateMark state={run.state} />
      </td>
      <td class="tasks">
        <a class="row-link" href={addressOf({ run: run.id })}>
          {tasksOf(run)}
        </a>
      </td>
      <td class="mini-cell">
        <Mini run={run} />
      </td>
      <td class={run.respondedAt === null ? 'num dim' : 'num answer'}>{since(run.respondedAt) || '–'}</td>
      <td class="num">{run.state === 'running' ? '…' : since(run.finishedAt)}</td>
      <td>
        {run.tags.slice(0, shownTags).map((tag) => (
          <Tag key={tag} tag={tag} />
        ))}
        {run.tags.length > shownTags && <span class="dim"> +{run.tags.length - shownTags}</span>}
      </td>
      <td class="num dim">{ageOf(secondNow.value - start)}</td>
      <td class="mono dim">…{shortIdOf(run.id)}</td>
    </tr>
  )
}

/** `first, second, third`, `thumbnail ×12`, `a, b, c and 4 more` */
function tasksOf({ jobs }: RunView): string {
  const counts = new Map<string, number>()
  for (const { task } of jobs) counts.set(task, (counts.get(task) ?? 0) + 1)
  const names = [...counts].map(([task, count]) => (count === 1 ? task : `${task} ×${count}`))
  const rest = names.length - shownTasks
  return rest > 0 ? `${names.slice(0, shownTasks).join(', ')} and ${rest} more` : names.join(', ')
}

function Mini({ run }: { readonly run: RunView }) {
  const start = Date.parse(run.createdAt)
  const answer = run.respondedAt === null ? null : Date.parse(run.respondedAt) - start
  const lanes = run.jobs.slice(0, miniLanes).map((job) => segmentsOf(job, start))
  const { toAxis } = timeScaleOf(lanes.flat(), answer === null ? [0] : [0, answer])
  const now = run.state === 'running' ? secondNow.value : 0
  const end = endOf(run, now)
  const span = Math.max(1, toAxis(end))
  const at = (ms: number): number => Math.min(1, toAxis(ms) / span)
  return (
    <span class={`mini lanes-${lanes.length}`} aria-hidden="true">
      {answer !== null && <u style={{ '--a': at(answer) }} />}
      {lanes.map((segments, lane) =>
        segments.map(({ kind, from, to }, place) => (
          <i
            key={`${lane}-${place}`}
            class={kind}
            style={{ '--s': at(from), '--w': Math.max(0, at(to ?? end) - at(from)), '--l': lane }}
          />
        )),
      )}
    </span>
  )
}
