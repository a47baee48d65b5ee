/** Computes which rows of a long list are near the screen, so that only those are drawn. */
import { useSignal, type ReadonlySignal } from '@preact/signals'
import type { RefObject } from 'preact'
import { useLayoutEffect } from 'preact/hooks'

export interface Rows {
  readonly first: number
  /** Exclusive. */
  readonly end: number
}

/** Shorter lists are drawn whole, so that the browser's search finds all of them. */
const mostDrawn = 200
/** Margin above and below the screen, in steps, so that a small scroll changes nothing. */
const margin = 20

/** @param list an element whose first child has the height of a row */
export function useVisibleRows(list: RefObject<HTMLElement | null>, count: number): ReadonlySignal<Rows> {
  const rows = useSignal<Rows>({ first: 0, end: Math.min(count, mostDrawn) })
  useLayoutEffect(() => {
    if (count <= mostDrawn) {
      rows.value = { first: 0, end: count }
      return undefined
    }
    let frame = 0
    const look = (): void => {
      frame = 0
      const [element, row] = [list.current, list.current?.firstElementChild]
      if (element === null || row === null || row === undefined) return
      const { top, height } = row.getBoundingClientRect()
      const above = Math.floor((-top / height - 1) / margin) * margin - margin
      const first = Math.max(0, Math.min(count, above))
      const end = Math.min(count, first + Math.ceil(innerHeight / height) + 4 * margin)
      if (first !== rows.peek().first || end !== rows.peek().end) rows.value = { first, end }
    }
    const later = (): void => {
      frame ||= requestAnimationFrame(look)
    }
    look()
    // Also scrolling of the element that contains the rows.
    addEventListener('scroll', later, { passive: true, capture: true })
    addEventListener('resize', later)
    return () => {
      cancelAnimationFrame(frame)
      removeEventListener('scroll', later, { capture: true })
      removeEventListener('resize', later)
    }
  }, [count])
  return rows
}
