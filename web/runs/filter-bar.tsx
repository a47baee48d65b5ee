/** The filters of the list. They are part of the address, so a view can be shared and survives a reload. */
import { useSignal } from '@preact/signals'
import type { TaskView } from 'forerunner/client'
import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import { addressOf, go, type RunFilters } from '../shell/route.ts'
import { client } from '../shell/service.ts'
import { SearchBox } from './search-box.tsx'
import { TimeFilter } from './time-filter.tsx'
import { glyphOf } from '../shell/state.tsx'

const states = ['', 'running', 'completed', 'failed', 'cancelled']

export interface FilterBarProps {
  readonly filters: RunFilters
  readonly children: ComponentChildren
}

export function FilterBar({ filters, children }: FilterBarProps) {
  const tasks = useSignal<readonly TaskView[]>([])
  useEffect(() => {
    client
      .peek()
      .listTasks()
      .then((list) => (tasks.value = list))
      // The list itself reports the error.
      .catch(() => {})
  }, [])
  const narrow = (change: Partial<RunFilters>): void => go(addressOf({ ...filters, ...change }))
  return (
    <div class="tools" role="group" aria-label="Filters">
      <div class="search-row">
        <SearchBox filters={filters} />
        {children}
      </div>
      {states.map((state) => (
        <button
          key={state}
          type="button"
          class="chip"
          aria-pressed={filters.state === state}
          onClick={() => narrow({ state })}
        >
          {state === '' ? 'All' : `${glyphOf(state)} ${state}`}
        </button>
      ))}
      <select
        class="chip task-chip"
        aria-label="Task"
        value={filters.task}
        onChange={(event) => narrow({ task: event.currentTarget.value })}
      >
        <option value="">any task</option>
        {[...new Set([...tasks.value.map(({ name }) => name), ...(filters.task === '' ? [] : [filters.task])])].map(
          (name) => (
            <option key={name} value={name}>
              task: {name}
            </option>
          ),
        )}
      </select>
      <input
        class="chip"
        aria-label="Tag"
        placeholder="tag"
        value={filters.tag}
        onChange={(event) => narrow({ tag: event.currentTarget.value.trim() })}
      />
      <TimeFilter filters={filters} onChange={narrow} />
    </div>
  )
}
