/** Which rows of a long list are near the screen: of a thousand lanes only those are drawn. */
import { useSignal, type ReadonlySignal } from '@preact/signals'
import type { RefObject } from 'preact'
import { useLayoutEffect } from 'preact/hooks'

export interface Rows {
  readonly first: number
  /** Exclusive. */
  readonly end: number
}

/** Fewer are drawn all, so that the browser finds words in them. */
const mostDrawn = 200
/** Above and below the screen, in steps: a small scroll changes nothing. */
const margin = 20

/** @param list its first child has the height of a row */
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
    // Also of the element that the rows are in.
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
