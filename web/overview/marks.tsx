/** Events that the charts do not explain: starts of the process, jobs that were taken back, and replaced threads. */
import type { RecentView } from 'forerunner/client'
import { clockOf, countOf } from '../time/format.ts'

export type Mark = RecentView['events'][number]

const glyphs: Readonly<Record<string, string>> = { started: '▲', recovered: '✚', 'thread-replaced': '↻' }
const causes: Readonly<Record<string, string>> = {
  recycled: 'it had run many jobs',
  tainted: 'a job had changed its built-ins',
  died: 'it had died',
}

export function glyphOfMark({ kind }: Mark): string {
  return glyphs[kind] ?? '•'
}

export function wordsOfMark({ kind, count, cause }: Mark): string {
  if (kind === 'started') return 'The process started.'
  if (kind === 'recovered') return `${countOf(count, 'job')} of a process that died taken back.`
  const why = cause === undefined ? '' : `: ${causes[cause] ?? cause}`
  return `${countOf(count, 'thread')} replaced${why}.`
}

export function Marks({ marks }: { readonly marks: readonly Mark[] }) {
  return (
    <section class="card" aria-label="Restarts and recoveries">
      <div class="head">
        <h2>Restarts and recoveries</h2>
        <small>marked on the lines above</small>
      </div>
      <ol class="marks">
        {marks.toReversed().map((mark) => (
          <li key={mark.at + mark.kind + mark.cause}>
            <time class="mono dim" dateTime={mark.at}>
              {clockOf(mark.at)}
            </time>
            <span class={`mark-glyph ${mark.kind}`} aria-hidden="true">
              {glyphOfMark(mark)}
            </span>
            {wordsOfMark(mark)}
          </li>
        ))}
      </ol>
    </section>
  )
}
