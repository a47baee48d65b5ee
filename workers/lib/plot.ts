/** A plot as a self-contained SVG image: title, axes with round ticks, grid, and the caller's drawing. */
import { tickStep } from 'd3-array'
import { scaleLinear, type ScaleLinear } from 'd3-scale'

export const dataColor = '#3569b2'
const colors = { title: '#1f2328', text: '#57606a', axis: '#8b949e', grid: '#e4e7eb' }

export type Scale = ScaleLinear<number, number>

export interface Axis {
  readonly label: string
  readonly domain: [low: number, high: number]
  /** Whether ticks must be integers. */
  readonly areIntegers: boolean
}

export interface Plot {
  readonly title: string
  readonly x: Axis
  /** Its domain is extended so that it begins and ends at a tick. */
  readonly y: Axis
  /** Draws the data; the scales convert to pixels. */
  readonly marks: (x: Scale, y: Scale) => string
}

/** Formats a length for an attribute. */
export const px = (value: number) => String(Math.round(value * 100) / 100)
export const shorten = (text: string, length: number) =>
  text.length <= length ? text : `${text.slice(0, length - 1)}…`

/** Escapes text for XML; characters that XML 1.0 forbids become U+FFFD. */
function escape(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
}

/** @param subtitle below the title */
export function renderPlot(plot: Plot, subtitle: string, widthPx: number, heightPx: number): string {
  const [top, bottom, right] = [68, heightPx - 54, widthPx - 28]
  const rows = (bottom - top) / 55
  const y = scaleLinear(plot.y.domain, [bottom, top]).nice(rows)
  const yTicks = ticksOf(y, rows, plot.y.areIntegers)
  const left = 44 + Math.max(...yTicks.map(({ label }) => label.length)) * 7
  const x = scaleLinear(plot.x.domain, [left, right])
  const xTicks = ticksOf(x, (right - left) / 80, plot.x.areIntegers)

  const text = (content: string, xPx: number | string, yPx: number | string, attributes = '') =>
    `<text x="${xPx}" y="${yPx}" ${attributes}>${escape(content)}</text>`
  const grid = yTicks.map(({ value }) => `M${left},${px(y(value))}H${right}`).join('')
  const notches = xTicks.map(({ value }) => `M${px(x(value))},${bottom}v5`).join('')
  const [centerX, centerY] = [(left + right) / 2, (top + bottom) / 2]
  const [xLabel, yLabel] = [shorten(plot.x.label, (right - left) / 8), shorten(plot.y.label, (bottom - top) / 8)]
  const label = 'text-anchor="middle" font-weight="600"'
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${widthPx} ${heightPx}" width="${widthPx}" height="${heightPx}"`,
    ` role="img" font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="12" fill="${colors.text}">`,
    `<title>${escape(plot.title)}</title><rect width="100%" height="100%" fill="#ffffff"/>`,
    text(shorten(plot.title, (widthPx - 48) / 11), 24, 32, `font-size="17" font-weight="600" fill="${colors.title}"`),
    text(shorten(subtitle, (widthPx - 48) / 7), 24, 51),
    `<path d="${grid}" stroke="${colors.grid}"/>`,
    plot.marks(x, y),
    `<path d="M${left},${bottom}H${right}${notches}" fill="none" stroke="${colors.axis}"/>`,
    ...yTicks.map((tick) => text(tick.label, left - 8, px(y(tick.value) + 4), 'text-anchor="end"')),
    ...xTicks.map((tick) => text(tick.label, px(x(tick.value)), bottom + 20, 'text-anchor="middle"')),
    text(xLabel, centerX, heightPx - 14, label),
    text(yLabel, 22, centerY, `${label} transform="rotate(-90 22 ${centerY})"`),
    '</svg>',
  ].join('')
}

/** Labels have just enough digits to differ from their neighbours; 2,500,000 becomes 2.5M, and a year keeps its digits. */
function ticksOf(scale: Scale, count: number, areIntegers: boolean): { value: number; label: string }[] {
  const [low = 0, high = 0] = scale.domain()
  const ticks = areIntegers ? Math.max(1, Math.min(count, Math.floor(high - low))) : count
  const largest = Math.max(Math.abs(low), Math.abs(high))
  const digits = Math.floor(Math.log10(largest)) - Math.floor(Math.log10(tickStep(low, high, ticks)) + 1e-9)
  const exponential = `.${Math.min(15, Math.max(0, digits))}e`
  const notation = largest >= 1e15 || largest < 1e-4 ? exponential : largest >= 1e6 ? '~s' : largest >= 1e4 ? ',f' : 'f'
  const format = scale.tickFormat(ticks, notation)
  return scale.ticks(ticks).map((value) => ({ value, label: value === 0 ? '0' : format(value).replace('G', 'B') }))
}
