/** The state of the page, encoded in the query of its address, so that no path depends on where it is mounted. */
import { computed, signal } from '@preact/signals'

export interface RunFilters {
  readonly state: string
  readonly task: string
  readonly tag: string
  /** Words to search for. */
  readonly q: string
  /** Earliest time of acceptance: a duration before now such as `1h`, or an instant. */
  readonly since: string
  /** Latest time of acceptance: an instant. */
  readonly until: string
}

export type Route =
  | { readonly page: 'runs'; readonly filters: RunFilters }
  | { readonly page: 'run'; readonly id: string; readonly job: number | null }
  | { readonly page: 'overview' }
  | { readonly page: 'schedules' }
  | { readonly page: 'task'; readonly name: string }
  | { readonly page: 'start'; readonly from: string | null; readonly task: string | null }

const query = signal(location.search)
addEventListener('popstate', () => (query.value = location.search))

export const route = computed((): Route => {
  const given = new URLSearchParams(query.value)
  const text = (name: string): string => given.get(name) ?? ''
  const id = text('run')
  if (id !== '') {
    const job = text('job')
    return { page: 'run', id, job: /^\d{1,5}$/.test(job) ? Number(job) : null }
  }
  if (given.has('start')) return { page: 'start', from: text('start') || null, task: text('task') || null }
  if (given.has('about')) return { page: 'task', name: text('about') }
  if (given.has('schedules')) return { page: 'schedules' }
  if (given.has('overview')) return { page: 'overview' }
  const filters = { state: text('state'), task: text('task'), tag: text('tag'), q: text('q') }
  return { page: 'runs', filters: { ...filters, since: text('since'), until: text('until') } }
})

/** @returns an address relative to the page, with the parameters that are not empty */
export function addressOf(parameters: Readonly<Record<string, string | number>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== '')
  return given.length === 0 ? './' : `./?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`
}

/** The random end of an id. Ids begin with the time, so runs of one minute share their beginning. */
export function shortIdOf(id: string): string {
  return id.slice(-8)
}

export const startAddress = './?start'
export const overviewAddress = './?overview'
export const schedulesAddress = './?schedules'

/** @param isStep false: replaces the current entry of the history */
export function go(address: string, isStep = true): void {
  if (isStep) history.pushState(null, '', address)
  else history.replaceState(null, '', address)
  query.value = location.search
  if (isStep) scrollTo(0, 0)
}

/** For links within the page: a plain click is handled without reloading; the browser handles all other clicks. */
export function followLink(event: MouseEvent): void {
  const link = event.target instanceof Element ? event.target.closest('a') : null
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey
  if (link === null || !isPlain || !(link.getAttribute('href') ?? '').startsWith('./')) return
  event.preventDefault()
  go(link.getAttribute('href') ?? './')
}
