/** States of runs and jobs, each shown by a colour and a shape, so that either is enough. */
import type { JobView, RunView } from 'forerunner/client'

export type State = JobView['state'] | RunView['state']

const glyphs: Record<State, string> = {
  queued: '◌',
  running: '◐',
  retrying: '↻',
  completed: '✓',
  failed: '✕',
  cancelled: '–',
  blocked: '◇',
}

export function glyphOf(state: string): string {
  // A newer service may have states that this page does not know.
  return glyphs[state as State] ?? '•'
}

export function StateMark({ state }: { readonly state: string }) {
  return (
    <span class={`state is-${state}`}>
      <span class="glyph" aria-hidden="true">
        {glyphOf(state)}
      </span>
      {state}
    </span>
  )
}
