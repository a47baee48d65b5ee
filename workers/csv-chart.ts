/**
 * Draws one column of a CSV text as an SVG image that needs nothing from outside: a histogram of its numbers, or a
 * line through them in row order. Every text that comes from the CSV is escaped on its way into the SVG.
 */
import { defineTask } from 'forerunner'
import { z } from 'zod'
import { readCsv } from './lib/csv.ts'
import { refusal } from './lib/refusal.ts'

const colors = { data: '#3569b2', title: '#1f2328', text: '#57606a', axis: '#8b949e', grid: '#e4e7eb' }
const numberPattern = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i
/** Floor and ceiling forgive this share of a step, so that 0.3 / 0.1 counts as 3. */
const tolerance = 1e-9

interface Range {
  readonly low: number
  readonly high: number
  /** Whether only integers make sense as ticks. */
  readonly areIntegers: boolean
}

interface Point<Value> {
  /** 1 is the row below the header. */
  readonly row: number
  readonly value: Value
}

interface Plot {
  readonly title: string
  readonly subtitle: string
  readonly xLabel: string
  readonly yLabel: string
  readonly x: Range
  /** Stretched when drawn, to begin and end at a tick. */
  readonly y: Range
  /** Draws the data, given the two scales and the plot's width in pixels. */
  readonly marks: (toX: (value: number) => number, toY: (value: number) => number, plotWidthPx: number) => string
}

/** The column's cells in row order; null for a cell that is no number. */
function readColumn(csv: string, column: string): (number | null)[] {
  const { header, rows } = readCsv(csv)
  const names = header.map((name) => name.trim())
  const index = names.indexOf(column)
  if (index === -1) {
    const known = names.slice(0, 20).map(quote)
    const others = names.length > known.length ? ` and ${names.length - known.length} more` : ''
    throw refusal(
      'unknown-column',
      `There is no column ${quote(column)}. The columns are ${known.join(', ')}${others}.`,
    )
  }
  const cells = rows.map((row) => (row[index] ?? '').trim())
  const numbers = cells.map((cell) => (numberPattern.test(cell) && Number.isFinite(Number(cell)) ? Number(cell) : null))
  if (numbers.every((number) => number === null)) {
    throw refusal('column-not-numeric', `The column ${quote(column)} has no numbers.`)
  }
  return numbers
}

function rangeOf(values: readonly number[]): Range {
  const low = values.reduce((least, value) => Math.min(least, value))
  const high = values.reduce((most, value) => Math.max(most, value))
  if (!Number.isFinite(high - low)) throw refusal('range-too-wide', 'The numbers are too far apart to draw.')
  const areIntegers = values.every(Number.isInteger)
  // Below that, doubles leave no room for ticks: the values count as equal.
  if (high - low > Math.max(1e-300, Math.abs(low) * 1e-12)) return { low, high, areIntegers }
  const margin = Math.max(areIntegers ? 1 : 0.5, Math.abs(low) / 100)
  return { low: low - margin, high: high + margin, areIntegers }
}

/** 1, 2 or 5 times a power of ten, so that about `count` steps span the range. */
function niceStep({ low, high, areIntegers }: Range, count: number): number {
  const wanted = (high - low) / count
  const power = 10 ** Math.floor(Math.log10(wanted))
  const ratio = wanted / power
  return Math.max(areIntegers ? 1 : 0, power * (ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10))
}

const stepsBelow = (value: number, step: number) => Math.floor(value / step + tolerance)
const stepsAbove = (value: number, step: number) => Math.ceil(value / step - tolerance)

function stretch(range: Range, step: number): Range {
  return { ...range, low: stepsBelow(range.low, step) * step, high: stepsAbove(range.high, step) * step }
}

function ticksOf({ low, high }: Range, step: number): { value: number; label: string }[] {
  const first = stepsAbove(low, step)
  const label = labeller(Math.max(Math.abs(low), Math.abs(high)), step)
  return Array.from({ length: stepsBelow(high, step) - first + 1 }, (_, index) => {
    const value = (first + index) * step
    return { value, label: label(value) }
  })
}

/** Labels with just the digits that tell neighbouring ticks apart; 2,500,000 becomes 2.5M. */
function labeller(largest: number, step: number): (value: number) => string {
  const [unit, suffix] = largest >= 1e9 ? [1e9, 'B'] : largest >= 1e6 ? [1e6, 'M'] : [1, '']
  const [divisor, ending] = step >= unit / 100 ? [unit, suffix] : [1, '']
  const digits = Math.max(0, -Math.floor(Math.log10(step / divisor) + tolerance))
  if (largest >= 1e14 || digits > 6) {
    const significant = Math.min(15, Math.max(0, Math.floor(Math.log10(largest)) - Math.floor(Math.log10(step))))
    return (value) => value.toExponential(significant).replaceAll('-', '−')
  }
  const format = new Intl.NumberFormat('en-US', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
    useGrouping: 'min2', // a year keeps its four digits
    signDisplay: 'negative',
  })
  return (value) => `${format.format(value / divisor).replace('-', '−')}${Math.abs(value) < step / 2 ? '' : ending}`
}

/** Freedman and Diaconis, or Sturges where half of the values are equal. */
function usualBinCount(sorted: Float64Array): number {
  const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)] ?? 0
  const spread = at(0.75) - at(0.25)
  const count = spread > 0 ? ((at(1) - at(0)) * Math.cbrt(sorted.length)) / (2 * spread) : Math.log2(sorted.length) + 1
  return Math.min(50, Math.max(5, Math.ceil(count)))
}

/** Exactly `wanted` bins from the least to the greatest value, or bins with round edges when that is undefined. */
function binsOf(values: readonly number[], wanted: number | undefined) {
  const range = rangeOf(values)
  const round = niceStep(range, usualBinCount(Float64Array.from(values).toSorted()))
  // Integers in steps of one: each stands in the middle of its own bar.
  const shift = range.areIntegers && round === 1 ? 0.5 : 0
  const step = wanted === undefined ? round : (range.high - range.low) / wanted
  const low = wanted === undefined ? stepsBelow(range.low, step) * step - shift : range.low
  const count = wanted ?? stepsAbove(range.high + shift - low, step)
  const counts = Array.from({ length: count }, () => 0)
  for (const value of values) {
    // The last bin takes its upper edge in.
    const index = Math.min(count - 1, Math.max(0, stepsBelow(value - low, step)))
    counts[index] = (counts[index] ?? 0) + 1
  }
  return { x: { ...range, low, high: low + step * count }, step, counts }
}

function histogram(column: string, cells: readonly (number | null)[], wanted: number | undefined): Plot {
  const values = cells.filter((cell) => cell !== null)
  const { x, step, counts } = binsOf(values, wanted)
  const format = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 6, useGrouping: 'min2' })
  return {
    title: `Distribution of ${column}`,
    subtitle: describeCells(values.length, cells.length),
    xLabel: column,
    yLabel: 'Rows',
    x,
    y: { low: 0, high: counts.reduce((most, count) => Math.max(most, count)), areIntegers: true },
    marks: (toX, toY, plotWidthPx) => {
      const gapPx = plotWidthPx / counts.length > 6 ? 1.5 : 0
      const bars = counts.map((count, index) => {
        const [from, to] = [x.low + step * index, x.low + step * (index + 1)]
        const hint = `${format.format(from)} to ${format.format(to)}: ${count}`
        const size = `width="${px(toX(to) - toX(from) - gapPx)}" height="${px(toY(0) - toY(count))}"`
        return `<rect x="${px(toX(from) + gapPx / 2)}" y="${px(toY(count))}" ${size}><title>${hint}</title></rect>`
      })
      return `<g fill="${colors.data}">${bars.join('')}</g>`
    },
  }
}

function line(column: string, cells: readonly (number | null)[]): Plot {
  const values = cells.filter((cell) => cell !== null)
  // A single row stands in the middle.
  const margin = cells.length === 1 ? 0.5 : 0
  return {
    title: `${column} by row`,
    subtitle: describeCells(values.length, cells.length),
    xLabel: 'Row',
    yLabel: column,
    x: { low: 1 - margin, high: cells.length + margin, areIntegers: true },
    y: rangeOf(values),
    marks: (toX, toY, plotWidthPx) => {
      const points = thinOut(cells, Math.floor(plotWidthPx))
      const runs = runsOf(points).map((run) => run.map(({ row, value }) => [px(toX(row)), px(toY(value))] as const))
      const path = runs.filter((run) => run.length > 1).map((run) => `M${run.join('L')}`)
      // A value between two gaps has no line to be seen by.
      const dots = runs.filter((run) => run.length === 1 || points.length * 12 < plotWidthPx).flat()
      return [
        `<path fill="none" stroke="${colors.data}" stroke-width="1.75" stroke-linejoin="round" d="${path.join('')}"/>`,
        `<g fill="${colors.data}">${dots.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="2.5"/>`).join('')}</g>`,
      ].join('')
    },
  }
}

/** At most two points a pixel: the least and the greatest value of each, in row order; null stands for a gap. */
function thinOut(cells: readonly (number | null)[], pixels: number): Point<number | null>[] {
  const points = cells.map((value, index) => ({ row: index + 1, value }))
  if (points.length <= 2 * pixels) return points
  return Array.from({ length: pixels }, (_, pixel) => {
    const from = Math.floor((pixel * points.length) / pixels)
    const bucket = points.slice(from, Math.floor(((pixel + 1) * points.length) / pixels))
    const sorted = bucket.filter((point) => point.value !== null).toSorted((a, b) => (a.value ?? 0) - (b.value ?? 0))
    const ends = [sorted.at(0), sorted.at(-1)].filter((point) => point !== undefined)
    return ends.length === 0 ? bucket.slice(0, 1) : [...new Set(ends)].toSorted((a, b) => a.row - b.row)
  }).flat()
}

/** The stretches between the gaps. */
function runsOf(points: readonly Point<number | null>[]): Point<number>[][] {
  const runs: Point<number>[][] = [[]]
  for (const { row, value } of points) {
    if (value === null) runs.push([])
    else runs.at(-1)?.push({ row, value })
  }
  return runs
}

const counted = (count: number, noun: string) => `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`

function describeCells(numbers: number, rows: number): string {
  const others = rows === numbers ? '' : `, ${counted(rows - numbers, 'row')} without a number`
  return `${counted(numbers, 'value')}${others}`
}

const px = (value: number) => String(Math.round(value * 100) / 100)
const shorten = (text: string, length: number) => (text.length <= length ? text : `${text.slice(0, length - 1)}…`)
const quote = (name: string) => JSON.stringify(shorten(name, 60))

/** Fit for XML text; a character that XML 1.0 forbids becomes U+FFFD. */
function escape(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
}

function render(plot: Plot, widthPx: number, heightPx: number): string {
  const [top, bottom, right] = [68, heightPx - 54, widthPx - 28]
  const yStep = niceStep(plot.y, (bottom - top) / 55)
  const y = stretch(plot.y, yStep)
  const yTicks = ticksOf(y, yStep)
  const left = 44 + Math.max(...yTicks.map(({ label }) => label.length)) * 7
  const xTicks = ticksOf(plot.x, niceStep(plot.x, (right - left) / 80))
  const toX = (value: number) => left + ((value - plot.x.low) / (plot.x.high - plot.x.low)) * (right - left)
  const toY = (value: number) => bottom - ((value - y.low) / (y.high - y.low)) * (bottom - top)

  const text = (content: string, x: number | string, yPx: number | string, attributes = '') =>
    `<text x="${x}" y="${yPx}" ${attributes}>${escape(content)}</text>`
  const grid = yTicks.map(({ value }) => `M${left},${px(toY(value))}H${right}`).join('')
  const notches = xTicks.map(({ value }) => `M${px(toX(value))},${bottom}v5`).join('')
  const [centerX, centerY] = [(left + right) / 2, (top + bottom) / 2]
  const [xLabel, yLabel] = [shorten(plot.xLabel, (right - left) / 8), shorten(plot.yLabel, (bottom - top) / 8)]
  const label = 'text-anchor="middle" font-weight="600"'
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${widthPx} ${heightPx}" width="${widthPx}" height="${heightPx}"`,
    ` role="img" font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="12" fill="${colors.text}">`,
    `<title>${escape(plot.title)}</title><rect width="100%" height="100%" fill="#ffffff"/>`,
    text(shorten(plot.title, (widthPx - 48) / 11), 24, 32, `font-size="17" font-weight="600" fill="${colors.title}"`),
    text(shorten(plot.subtitle, (widthPx - 48) / 7), 24, 51),
    `<path d="${grid}" stroke="${colors.grid}"/>`,
    plot.marks(toX, toY, right - left),
    `<path d="M${left},${bottom}H${right}${notches}" fill="none" stroke="${colors.axis}"/>`,
    ...yTicks.map((tick) => text(tick.label, left - 8, px(toY(tick.value) + 4), 'text-anchor="end"')),
    ...xTicks.map((tick) => text(tick.label, px(toX(tick.value)), bottom + 20, 'text-anchor="middle"')),
    text(xLabel, centerX, heightPx - 14, label),
    text(yLabel, 22, centerY, `${label} transform="rotate(-90 22 ${centerY})"`),
    '</svg>',
  ].join('')
}

/**
 * Returns `{ svg }`, a complete SVG document with a `viewBox`. Rows whose cell is no number are left out of a histogram
 * and are gaps in a line. A line of more than two rows a pixel shows the least and the greatest value of each pixel.
 *
 * Throws, each with status 422: `invalid-csv` (no header line, or a malformed or unclosed quote), `unknown-column` (its message
 * names the columns), `column-not-numeric` (no cell is a number), `range-too-wide` (beyond the range of a double).
 */
export default defineTask({
  input: z.strictObject({
    csv: z.string().max(16_777_216).describe('CSV text; its first line names the columns'),
    column: z.string().max(1000).describe('Name of a numeric column; of columns with one name, the first'),
    kind: z.enum(['histogram', 'line']).default('histogram').describe('line: the values in row order'),
    bins: z.int().min(2).max(100).optional().describe('Bars of a histogram; when absent, as many as suit the values'),
    widthPx: z.int().min(240).max(4000).default(800).describe('Width of the image, in pixels'),
    heightPx: z.int().min(180).max(4000).default(450).describe('Height of the image, in pixels'),
  }),
  run({ csv, column, kind, bins, widthPx, heightPx }) {
    const name = column.trim()
    const cells = readColumn(csv, name)
    const plot = kind === 'line' ? line(name, cells) : histogram(name, cells, bins)
    return { svg: render(plot, widthPx, heightPx) }
  },
})
