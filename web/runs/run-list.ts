/**
 * The newest page of runs and the service's figures. They are fetched when the service announces changes, but less often
 * if the requests take long. If nothing has changed, the response is a 304 without a body.
 */
import { batch, computed, signal, type ReadonlySignal } from '@preact/signals'
import type { RunPageView, RunView, StatsView } from 'forerunner/client'
import { runQueryOf } from './run-query.ts'
import { refusalOf } from '../shell/bounded-read.ts'
import { onChanges } from '../shell/changes.ts'
import type { RunFilters } from '../shell/route.ts'
import { ask, authorization, baseUrl, client, isReachable, needsKey, wordsOf } from '../shell/service.ts'

export interface RunList {
  /** Newest first. The list does not move while it is read: new runs are counted until the reader asks for them. */
  readonly runs: ReadonlySignal<readonly RunView[]>
  readonly newCount: ReadonlySignal<number>
  readonly stats: ReadonlySignal<StatsView | null>
  readonly hasMore: ReadonlySignal<boolean>
  readonly isLoaded: ReadonlySignal<boolean>
  readonly trouble: ReadonlySignal<string>
  /** While true, nothing on the page changes. */
  readonly isPaused: ReadonlySignal<boolean>
  togglePause(): void
  showNew(): void
  showOlder(): Promise<void>
  start(): void
  stop(): void
}

const leastGapMs = 1_000
/** The pause between two requests is this multiple of the duration of a request. */
const restFactor = 8
/** Finds what no event announces: removed runs, and runs that other processes accepted. */
const longestGapMs = 30_000
/** Interval while the service is unreachable. */
const retryMs = 2_000
const pageSize = 50

export function createRunList(runFilters: RunFilters): RunList {
  const shown = signal<readonly string[]>([])
  const byId = signal<ReadonlyMap<string, RunView>>(new Map())
  const newest = signal<readonly string[]>([])
  const stats = signal<StatsView | null>(null)
  const pageToken = signal<string | null>(null)
  const isLoaded = signal(false)
  const trouble = signal('')
  const isPaused = signal(false)
  let entityTag = ''
  let readAt = 0
  let gapMs = leastGapMs
  let isReading = false
  let isStale = false
  let endChanges = (): void => {}
  let timer: ReturnType<typeof setTimeout> | undefined
  let end = new AbortController()

  function addressOf(token?: string): URL {
    const url = new URL('runs', baseUrl)
    const query = { ...runQueryOf(runFilters), pageSize: String(pageSize), ...(token && { pageToken: token }) }
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
    return url
  }

  async function read(url: URL, headers: Record<string, string>): Promise<Response> {
    const response = await ask(url, { headers: { ...authorization(), ...headers }, signal: end.signal })
    if (response.ok || response.status === 304) return response
    throw await refusalOf(response)
  }

  function take({ runs, nextPageToken }: RunPageView): void {
    batch(() => {
      byId.value = new Map([...byId.value, ...runs.map((run) => [run.id, run] as const)])
      newest.value = runs.map(({ id }) => id)
      if (shown.value.length > 0) return
      // The first runs: there is nothing yet that could move.
      shown.value = newest.value
      pageToken.value = nextPageToken
    })
  }

  /** Visible runs that are still running and no longer on the newest page. */
  async function readOthers(): Promise<void> {
    const page = new Set(newest.value)
    const open = shown.value.filter((id) => !page.has(id) && byId.value.get(id)?.state === 'running').slice(0, 10)
    const runs = await Promise.all(
      open.map((id) =>
        client
          .peek()
          .getRun(id, { signal: end.signal })
          .catch(() => null),
      ),
    )
    const found = runs.filter((run) => run !== null).map((run) => [run.id, run] as const)
    if (found.length > 0) byId.value = new Map([...byId.value, ...found])
  }

  async function refresh(): Promise<void> {
    const { signal: ended } = end
    clearTimeout(timer)
    isReading = true
    isStale = false
    readAt = performance.now()
    try {
      const headers = entityTag === '' ? {} : { 'If-None-Match': entityTag }
      const [response, figures] = await Promise.all([
        read(addressOf(), headers),
        client.peek().stats({ signal: ended }),
      ])
      const page = response.status === 304 ? null : ((await response.json()) as RunPageView)
      if (isPaused.peek()) return
      stats.value = figures
      if (page !== null) {
        entityTag = response.headers.get('ETag') ?? ''
        take(page)
      }
      await readOthers()
      isLoaded.value = true
      trouble.value = ''
    } catch (error) {
      if (!ended.aborted) trouble.value = wordsOf(error)
    } finally {
      gapMs = Math.max(leastGapMs, restFactor * (performance.now() - readAt))
      isReading = false
      if (!ended.aborted) schedule()
    }
  }

  function schedule(): void {
    clearTimeout(timer)
    if (document.hidden || needsKey.value || isPaused.peek()) return
    const waitMs = isStale ? gapMs - (performance.now() - readAt) : isReachable.peek() ? longestGapMs : retryMs
    timer = setTimeout(() => void refresh(), Math.max(0, waitMs))
  }

  function onChange(): void {
    isStale = true
    if (!isReading) schedule()
  }

  return {
    runs: computed(() => shown.value.flatMap((id) => byId.value.get(id) ?? [])),
    newCount: computed(() => {
      const [first] = shown.value
      return first === undefined ? 0 : newest.value.filter((id) => id > first).length
    }),
    stats,
    hasMore: computed(() => pageToken.value !== null),
    isLoaded,
    trouble: computed(() => (isReachable.value ? trouble.value : 'The service cannot be reached. Trying again…')),
    showNew() {
      const known = new Set(newest.value)
      const isContinuous = shown.value.some((id) => known.has(id))
      batch(() => {
        // More new runs than a page: there would be a gap before the runs shown so far.
        const rest = isContinuous ? shown.value.filter((id) => !known.has(id)) : []
        shown.value = [...newest.value, ...rest]
        if (!isContinuous) pageToken.value = null
      })
      scrollTo({ top: 0 })
    },
    async showOlder() {
      const token = pageToken.value
      if (token === null) return
      try {
        const page = (await (await read(addressOf(token), {})).json()) as RunPageView
        batch(() => {
          byId.value = new Map([...byId.value, ...page.runs.map((run) => [run.id, run] as const)])
          shown.value = [...new Set([...shown.value, ...page.runs.map(({ id }) => id)])]
          pageToken.value = page.nextPageToken
        })
      } catch (error) {
        trouble.value = wordsOf(error)
      }
    },
    isPaused,
    togglePause() {
      isPaused.value = !isPaused.value
      if (!isPaused.value) void refresh()
    },
    start() {
      end = new AbortController()
      document.addEventListener('visibilitychange', onChange)
      endChanges = onChanges(onChange)
      void refresh()
    },
    stop() {
      end.abort()
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', onChange)
      endChanges()
    },
  }
}
