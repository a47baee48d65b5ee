/** Zoom and pan on the timeline itself: by wheel, pinch, or a finger that moves it sideways. */
import type { ReadonlySignal, Signal } from '@preact/signals'
import type { RefObject } from 'preact'
import { useEffect } from 'preact/hooks'
import { panned, zoomed, type Window } from './zoom.ts'

const wheelFactor = 0.002

/** @param axisAt the position on the axis of an x coordinate of the screen */
export function useGestures(
  area: RefObject<HTMLElement | null>,
  zoom: Signal<Window | null>,
  whole: ReadonlySignal<number>,
  axisAt: (clientX: number) => number,
  plotWidth: () => number,
): void {
  useEffect(() => {
    const element = area.current
    if (element === null) return undefined
    const fingers = new Map<number, number>()

    const onWheel = (event: WheelEvent): void => {
      const isSideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey
      // A pinch on a touchpad arrives as a wheel event with the control key.
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault()
        zoom.value = zoomed(zoom.peek(), whole.peek(), Math.exp(event.deltaY * wheelFactor), axisAt(event.clientX))
      } else if (isSideways && zoom.peek() !== null) {
        event.preventDefault()
        zoom.value = panned(zoom.peek(), whole.peek(), (event.deltaX || event.deltaY) / plotWidth())
      }
    }
    const onDown = (event: PointerEvent): void => {
      if (event.pointerType === 'touch') fingers.set(event.pointerId, event.clientX)
    }
    const onMove = (event: PointerEvent): void => {
      const before = fingers.get(event.pointerId)
      if (before === undefined) return
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1]
      fingers.set(event.pointerId, event.clientX)
      if (other === undefined) {
        zoom.value = panned(zoom.peek(), whole.peek(), (before - event.clientX) / plotWidth())
        return
      }
      const [was, is] = [Math.abs(before - other), Math.abs(event.clientX - other)]
      if (was > 0 && is > 0)
        zoom.value = zoomed(zoom.peek(), whole.peek(), was / is, axisAt((other + event.clientX) / 2))
    }
    const onUp = (event: PointerEvent): void => void fingers.delete(event.pointerId)

    element.addEventListener('wheel', onWheel, { passive: false })
    element.addEventListener('pointerdown', onDown)
    element.addEventListener('pointermove', onMove)
    element.addEventListener('pointerup', onUp)
    element.addEventListener('pointercancel', onUp)
    return () => {
      element.removeEventListener('wheel', onWheel)
      element.removeEventListener('pointerdown', onDown)
      element.removeEventListener('pointermove', onMove)
      element.removeEventListener('pointerup', onUp)
      element.removeEventListener('pointercancel', onUp)
    }
  }, [])
}
