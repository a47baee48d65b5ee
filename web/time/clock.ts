/** One clock for the page: a signal for values in seconds, and animation frames for moving elements. */
import { signal } from '@preact/signals'
import { serviceNow } from '../shell/service.ts'

/** The service's time, in whole seconds. */
export const secondNow = signal(serviceNow())
setInterval(() => (secondNow.value = serviceNow()), 1_000)

const isCalm = matchMedia('(prefers-reduced-motion: reduce)')

/**
 * Calls back with the service's time on each animation frame, or less often, while the tab is visible.
 * @returns a function that stops it
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
