/** Changes every run that the filters match. It counts them first, and shows the same action as command lines. */
import { useSignal } from '@preact/signals'
import type { BulkFilter } from 'forerunner/client'
import { CommandLines, type Action } from '../shell/commands.tsx'
import { runQueryOf } from './run-query.ts'
import type { RunFilters } from '../shell/route.ts'
import { client, wordsOf } from '../shell/service.ts'
import { clockOf, countOf } from '../time/format.ts'

interface Change {
  readonly name: 'retry' | 'cancel'
  readonly verb: string
  /** Runs in other states have nothing to change, so with one of these states the count is exact. */
  readonly states: readonly string[]
}

const changes: readonly Change[] = [
  { name: 'retry', verb: 'Retry', states: ['failed', 'cancelled'] },
  { name: 'cancel', verb: 'Cancel', states: ['running'] },
]

interface Asked {
  readonly change: Change
  readonly state: string
  readonly count: number
}

export function BulkBar({ filters }: { readonly filters: RunFilters }) {
  const asked = useSignal<Asked | null>(null)
  const said = useSignal('')
  const isBusy = useSignal(false)

  const send = async ({ name }: Change, state: string, dryRun: boolean): Promise<number | null> => {
    const { retryRuns, cancelRuns } = client.peek()
    isBusy.value = true
    said.value = ''
    try {
      const filter = { ...given(filters, state), ...(dryRun && { dryRun }) } as BulkFilter
      const { matched, changed } = await (name === 'retry' ? retryRuns : cancelRuns)(filter)
      return dryRun ? matched : changed
    } catch (error) {
      said.value = wordsOf(error)
      return null
    } finally {
      isBusy.value = false
    }
  }
  const ask = async (change: Change, state: string): Promise<void> => {
    const count = await send(change, state, true)
    if (count === 0) said.value = `No ${state} run matches.`
    asked.value = count === null || count === 0 ? null : { change, state, count }
  }
  const confirm = async ({ change, state }: Asked): Promise<void> => {
    const count = await send(change, state, false)
    asked.value = null
    if (count !== null)
      said.value = `${countOf(count, 'run')} ${change.name === 'retry' ? 'queued again' : 'cancelled'}.`
  }

  const possible = changes.flatMap((change) => {
    const state = filters.state === '' ? change.states[0] : change.states.find((one) => one === filters.state)
    return state === undefined ? [] : [{ change, state }]
  })
  const question = asked.value
  return (
    <div class="bulk">
      {possible.map(({ change, state }) => (
        <button
          key={change.name}
          type="button"
          class="btn small"
          disabled={isBusy.value}
          onClick={() => void ask(change, state)}
        >
          {change.verb} all {state}…
        </button>
      ))}
      <span role="status" class="dim">
        {said.value}
      </span>
      {question !== null && (
        <section class="card question" aria-label="Confirm">
          <p>
            {question.change.verb} <b>{countOf(question.count, `${question.state} run`)}</b>
            {filters.task !== '' && ` of ${filters.task}`}
            {filters.tag !== '' && ` tagged ${filters.tag}`}
            {filters.q !== '' && ` with the words “${filters.q}”`}
            {given(filters, '')['createdAfter'] &&
              `, accepted after ${clockOf(given(filters, '')['createdAfter'] ?? '')}`}
            {filters.until !== '' && `, accepted before ${clockOf(filters.until)}`}?
          </p>
          <span class="actions">
            <button class="btn primary" type="button" disabled={isBusy.value} onClick={() => void confirm(question)}>
              {question.change.verb} {question.count.toLocaleString('en')}
            </button>
            <button class="btn" type="button" onClick={() => (asked.value = null)}>
              Leave them
            </button>
          </span>
          <CommandLines {...actionOf(question.change, given(filters, question.state))} />
        </section>
      )}
    </div>
  )
}

function actionOf({ name }: Change, filter: Record<string, string>): Action {
  const options = Object.entries(filter).flatMap(([parameter, value]) => [`--${optionOf(parameter)}`, value])
  return { path: `runs/${name}?${new URLSearchParams(filter).toString()}`, words: [name, ...options] }
}

function given(filters: RunFilters, state: string): Record<string, string> {
  return runQueryOf({ ...filters, state })
}

function optionOf(parameter: string): string {
  return parameter === 'q' ? 'search' : parameter.replaceAll(/[A-Z]/g, '-$&').toLowerCase()
}
