/** Filters by time of acceptance: a duration before now, or a range between two instants. */
import { useSignal } from '@preact/signals'
import type { RunFilters } from '../shell/route.ts'
import { spans } from './run-query.ts'

export interface TimeFilterProps {
  readonly filters: RunFilters
  readonly onChange: (change: Pick<RunFilters, 'since' | 'until'>) => void
}

const words: Readonly<Record<string, string>> = {
  '': 'any time',
  '15m': 'last 15 min',
  '1h': 'last hour',
  '24h': 'last 24 h',
  '7d': 'last 7 days',
  between: 'between…',
}

export function TimeFilter({ filters: { since, until }, onChange }: TimeFilterProps) {
  const isAsked = useSignal(false)
  const isSpan = since === '' || Object.hasOwn(spans, since)
  const isBetween = isAsked.value || until !== '' || !isSpan
  const choose = (chosen: string): void => {
    isAsked.value = chosen === 'between'
    if (!isAsked.value) onChange({ since: chosen, until: '' })
  }
  return (
    <>
      <select
        class="chip"
        aria-label="Accepted"
        value={isBetween ? 'between' : since}
        onChange={(event) => choose(event.currentTarget.value)}
      >
        {Object.entries(words).map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
      {isBetween && (
        <span class="between">
          <Instant
            label="Accepted after"
            value={isSpan ? '' : since}
            onChange={(at) => onChange({ since: at, until })}
          />
          –
          <Instant
            label="Accepted before"
            value={until}
            onChange={(at) => onChange({ since: isSpan ? '' : since, until: at })}
          />
        </span>
      )}
    </>
  )
}

interface InstantProps {
  readonly label: string
  readonly value: string
  readonly onChange: (at: string) => void
}

/** The address contains the zone, so that a link means the same elsewhere. */
function Instant({ label, value, onChange }: InstantProps) {
  return (
    <input
      class="chip"
      type="datetime-local"
      aria-label={label}
      value={localOf(value)}
      onChange={({ currentTarget: { value: given } }) => onChange(given === '' ? '' : new Date(given).toISOString())}
    />
  )
}

function localOf(instant: string): string {
  const at = Date.parse(instant)
  if (Number.isNaN(at)) return ''
  const shifted = new Date(at - new Date(at).getTimezoneOffset() * 60_000)
  return shifted.toISOString().slice(0, 16)
}
