/** The search field, which searches as you type. The text is in the address, as one entry of the history. */
import { useSignal, useSignalEffect } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { useKeys } from '../shell/keys.ts'
import { addressOf, go, type RunFilters } from '../shell/route.ts'

const typingMs = 180

export function SearchBox({ filters }: { readonly filters: RunFilters }) {
  const typed = useSignal(filters.q)
  const field = useRef<HTMLInputElement>(null)
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined)
  const current = useRef(filters)
  current.current = filters
  useKeys({ '/': () => field.current?.focus() })

  const search = (isStep: boolean): void => {
    clearTimeout(timer.current)
    const q = typed.peek().trim()
    if (q !== current.current.q) go(addressOf({ ...current.current, q }), isStep)
  }
  // The address can change from outside, for example by the browser's back button.
  useEffect(() => {
    if (filters.q !== typed.peek().trim()) typed.value = filters.q
  }, [filters.q])
  useSignalEffect(() => {
    if (typed.value.trim() === current.current.q) return
    timer.current = setTimeout(search, typingMs, false)
  })
  useEffect(() => () => clearTimeout(timer.current), [])
  return (
    <input
      ref={field}
      class="search"
      type="search"
      aria-label="Search"
      aria-keyshortcuts="/"
      placeholder="Search everything   /"
      maxLength={190}
      value={typed.value}
      onInput={(event) => {
        clearTimeout(timer.current)
        typed.value = event.currentTarget.value
      }}
      onKeyDown={(event) => {
        if (event.key === 'Enter') search(true)
        if (event.key === 'Escape') typed.value = ''
      }}
    />
  )
}
