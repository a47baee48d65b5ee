/** One clock for the page: a signal for what is shown in seconds, and frames for what moves. */
import { signal } from '@preact/signals'
import { serviceNow } from '../shell/service.ts'

/** Of the service, to a second. */
export const secondNow = signal(serviceNow())
setInterval(() => (secondNow.value = serviceNow()), 1_000)

const isCalm = matchMedia('(prefers-reduced-motion: reduce)')

/**
 * Calls with the service's time, as often as the screen is drawn, or less often: while the tab is visible.
 * @returns stops it
 */
export function everyFrame(draw: (now: number) => void, leastMs: number): () => void {
  let last = 0
  let frame = 0
  const next = (at: number): void => {
    frame = requestAnimationFrame(next)
    if (at - last < (isCalm.matches ? 1_000 : leastMs)) return
    last = at
    draw(serviceNow())
  }
  frame = requestAnimationFrame(next)
  return () => cancelAnimationFrame(frame)
}
