/** The visible part of the axis. Pure. */

/** Milliseconds on the axis. */
export interface Window {
  readonly from: number
  readonly to: number
}

/** Instants have no finer resolution. */
const leastMs = 4
const roundingMs = 1e-6

/** @returns null if all of the axis is visible @param length of the axis in milliseconds */
export function windowOf(from: number, to: number, whole: number): Window | null {
  const width = Math.max(leastMs, Math.abs(to - from))
  if (width > whole - roundingMs) return null
  const start = Math.max(0, Math.min(whole - width, Math.min(from, to)))
  return { from: start, to: start + width }
}

/** @param factor below 1 zooms in @param around the point that does not move */
export function zoomed(shown: Window | null, whole: number, factor: number, around?: number): Window | null {
  const { from, to } = shown ?? { from: 0, to: whole }
  const centre = around ?? (from + to) / 2
  const width = Math.max(leastMs, (to - from) * factor)
  const share = (centre - from) / (to - from)
  return windowOf(centre - width * share, centre + width * (1 - share), whole)
}

/** @param share of the visible width */
export function panned(shown: Window | null, whole: number, share: number): Window | null {
  if (shown === null) return null
  const by = Math.max(-shown.from, Math.min(whole - shown.to, (shown.to - shown.from) * share))
  return { from: shown.from + by, to: shown.to + by }
}
