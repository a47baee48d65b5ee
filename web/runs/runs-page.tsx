/** The list of runs. */
import { useEffect, useMemo, useRef } from 'preact/hooks'
import { useKeys } from '../shell/keys.ts'
import { addressOf, startAddress, type RunFilters } from '../shell/route.ts'
import { BulkBar } from './bulk-bar.tsx'
import { FilterBar } from './filter-bar.tsx'
import { Figures, Sentence } from './figures.tsx'
import { createRunList, type RunList } from './run-list.ts'
import { RunTable } from './run-table.tsx'

export function RunsPage({ filters }: { readonly filters: RunFilters }) {
  const address = addressOf({ ...filters })
  const list = useMemo(() => createRunList(filters), [address])
  // Until there is a response, the old list stays.
  const loaded = useRef(list)
  if (list.isLoaded.value) loaded.current = list
  const shown = loaded.current
  useEffect(() => {
    document.title = 'Runs · Forerunner'
    list.start()
    return list.stop
  }, [list])
  const current = useRef(list)
  current.current = list
  useKeys({ p: () => current.current.togglePause(), j: () => moveFocus(1), k: () => moveFocus(-1) })
  const isNarrowed = Object.values(filters).some((value) => value !== '')
  const isEmpty = shown.isLoaded.value && shown.runs.value.length === 0
  return (
    <>
      {!shown.isLoaded.value ? (
        <h1>Runs</h1>
      ) : isEmpty ? (
        <h1>{isNarrowed ? 'No run matches.' : 'No runs yet.'}</h1>
      ) : (
        <Sentence runs={shown.runs.value} hasMore={shown.hasMore.value} />
      )}
      <Figures stats={shown.stats.value} />
      <FilterBar filters={filters}>
        <button
          class="chip"
          type="button"
          aria-pressed={list.isPaused.value}
          aria-keyshortcuts="p"
          onClick={list.togglePause}
        >
          {list.isPaused.value ? 'Paused' : 'Pause'}
        </button>
      </FilterBar>
      <p class="alert" role="alert">
        {list.trouble.value}
      </p>
      {isNarrowed && !isEmpty && <BulkBar key={address} filters={filters} />}
      {isEmpty ? <Empty isNarrowed={isNarrowed} /> : <Table list={shown} />}
    </>
  )
}

/** Moves the focus from run to run; to the first one if none has it. */
function moveFocus(by: number): void {
  const links = [...document.querySelectorAll<HTMLElement>('.row-link')]
  const place = links.findIndex((link) => link === document.activeElement)
  links[place === -1 ? 0 : Math.max(0, Math.min(links.length - 1, place + by))]?.focus()
}

function Table({ list }: { readonly list: RunList }) {
  const newCount = list.newCount.value
  return (
    <>
      <div class="card runs">
        {newCount > 0 && (
          <button class="new" type="button" onClick={list.showNew}>
            ↑ {newCount} new
          </button>
        )}
        <RunTable runs={list.runs.value} />
      </div>
      {list.hasMore.value && (
        <button class="btn older" type="button" onClick={() => void list.showOlder()}>
          Show older runs
        </button>
      )}
    </>
  )
}

function Empty({ isNarrowed }: { readonly isNarrowed: boolean }) {
  return (
    <section class="card blank">
      {isNarrowed ? (
        <>
          <p>The filters leave nothing. Runs that match appear here by themselves.</p>
          <a class="btn" href="./">
            Show all runs
          </a>
        </>
      ) : (
        <>
          <p>A run is answered by its first task, and the rest goes on in worker threads. Start one and watch it.</p>
          <a class="btn primary" href={startAddress}>
            Start a run
          </a>
        </>
      )}
    </section>
  )
}
