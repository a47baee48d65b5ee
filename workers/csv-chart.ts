/**
 * Draws one column of a CSV text as an SVG image that needs nothing from outside: a histogram of its numbers, or a
 * line through them in row order. Every text that comes from the CSV is escaped on its way into the SVG.
 */
import { bin, extent, maxIndex, minIndex, range, thresholdFreedmanDiaconis, thresholdSturges, tickStep } from 'd3-array'
import { scaleLinear } from 'd3-scale'
import { defineTask } from 'forerunner'
import { z } from 'zod'
import { numberPattern, readCsv } from './lib/csv.ts'
import { dataColor, px, renderPlot, shorten, type Axis, type Plot } from './lib/plot.ts'
import { refusal } from './lib/refusal.ts'

type Cells = readonly (number | null)[]

/** The column's cells in row order; null for a cell that is not a number. */
function readColumn(csv: string, column: string): Cells {
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

/** Adds room on both sides if all values are equal. */
function domainOf(values: readonly number[]): Axis['domain'] {
  const [low = 0, high = 0] = extent(values)
  if (!Number.isFinite(high - low)) throw refusal('range-too-wide', 'The numbers are too far apart to draw.')
  // With less, doubles leave no room for ticks.
  if (high - low > Math.max(1e-300, Math.abs(low) * 1e-12)) return [low, high]
  const margin = Math.max(values.every(Number.isInteger) ? 1 : 0.5, Math.abs(low) / 100)
  return [low - margin, high + margin]
}

/** Exactly `wanted` bins from the smallest to the largest value; bins with round edges if `wanted` is undefined. */
function binsOf(values: number[], wanted: number | undefined) {
  const [low, high] = domainOf(values)
  if (wanted !== undefined) {
    // Twelve digits, so that 0.3 belongs to the right tenth.
    const edges = range(1, wanted).map((edge) =>
      Number(((low * (wanted - edge) + high * edge) / wanted).toPrecision(12)),
    )
    return bin().domain([low, high]).thresholds(edges)(values)
  }
  const usual = thresholdFreedmanDiaconis(values, low, high)
  const count = Math.min(50, Math.max(5, usual > 1 ? usual : thresholdSturges(values)))
  // Integers in steps of one: each value is in the middle of its own bar.
  if (values.every(Number.isInteger) && tickStep(low, high, count) <= 1) {
    return bin()
      .domain([low - 0.5, high + 0.5])
      .thresholds(range(low + 0.5, high))(values)
  }
  const [from = low, to = high] = scaleLinear([low, high], [0, 1]).nice(count).domain()
  // Rounding could cut off the smallest value.
  return bin()
    .domain([Math.min(from, low), Math.max(to, high)])
    .thresholds(count)(values)
}

function histogram(column: string, cells: Cells, wanted: number | undefined): Plot {
  const bins = binsOf(numbersOf(cells), wanted).map((values) => ({
    from: values.x0 ?? 0,
    to: values.x1 ?? 0,
    count: values.length,
  }))
  const domain: Axis['domain'] = [bins.at(0)?.from ?? 0, bins.at(-1)?.to ?? 0]
  const most = bins.reduce((highest, { count }) => Math.max(highest, count), 0)
  return {
    title: `Distribution of ${column}`,
    x: { label: column, domain, areIntegers: numbersOf(cells).every(Number.isInteger) },
    y: { label: 'Rows', domain: [0, most], areIntegers: true },
    marks(x, y) {
      const bars = bins.map(({ from, to, count }) => {
        const [left, right] = [x(from), x(to)]
        const gapPx = right - left > 6 ? 1.5 : 0
        const size = `width="${px(right - left - gapPx)}" height="${px(y(0) - y(count))}"`
        const hint = `${Number(from.toPrecision(6))} to ${Number(to.toPrecision(6))}: ${count}`
        return `<rect x="${px(left + gapPx / 2)}" y="${px(y(count))}" ${size}><title>${hint}</title></rect>`
      })
      return `<g fill="${dataColor}">${bars.join('')}</g>`
    },
  }
}

function line(column: string, cells: Cells): Plot {
  const values = numbersOf(cells)
  // A single row is placed in the middle.
  const margin = cells.length === 1 ? 0.5 : 0
  return {
    title: `${column} by row`,
    x: { label: 'Row', domain: [1 - margin, cells.length + margin], areIntegers: true },
    y: { label: column, domain: domainOf(values), areIntegers: values.every(Number.isInteger) },
    marks(x, y) {
      const widthPx = x(cells.length + margin) - x(1 - margin)
      const rows = thinOut(cells, Math.floor(widthPx))
      const stretches = splitAtGaps(rows, cells).map((stretch) =>
        stretch.map(({ row, value }) => [px(x(row + 1)), px(y(value))] as const),
      )
      const path = stretches.filter((stretch) => stretch.length > 1).map((stretch) => `M${stretch.join('L')}`)
      // A value between two gaps would have no visible line.
      const dots = stretches.filter((stretch) => stretch.length === 1 || rows.length * 12 < widthPx).flat()
      return [
        `<path fill="none" stroke="${dataColor}" stroke-width="1.75" stroke-linejoin="round" d="${path.join('')}"/>`,
        `<g fill="${dataColor}">${dots.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="2.5"/>`).join('')}</g>`,
      ].join('')
    },
  }
}

/** At most two rows per pixel: those with its smallest and its largest value; a gap if it has no value. */
function thinOut(cells: Cells, pixels: number): number[] {
  if (cells.length <= 2 * pixels) return range(cells.length)
  return range(pixels).flatMap((pixel) => {
    const from = Math.floor((pixel * cells.length) / pixels)
    const bucket = cells.slice(from, Math.floor(((pixel + 1) * cells.length) / pixels))
    const ends = new Set([Math.max(0, minIndex(bucket)), Math.max(0, maxIndex(bucket))])
    return [...ends].toSorted((a, b) => a - b).map((index) => from + index)
  })
}

function splitAtGaps(rows: readonly number[], cells: Cells): { row: number; value: number }[][] {
  const stretches: { row: number; value: number }[][] = [[]]
  for (const row of rows) {
    const value = cells[row] ?? null
    if (value === null) stretches.push([])
    else stretches.at(-1)?.push({ row, value })
  }
  return stretches
}

const counted = (count: number, noun: string) => `${count.toLocaleString('en-US')} ${noun}${count === 1 ? '' : 's'}`

function describeCells(cells: Cells): string {
  const { length } = numbersOf(cells)
  const others = length === cells.length ? '' : `, ${counted(cells.length - length, 'row')} without a number`
  return `${counted(length, 'value')}${others}`
}

const numbersOf = (cells: Cells) => cells.filter((cell) => cell !== null)
const quote = (name: string) => JSON.stringify(shorten(name, 60))

/**
 * Returns `{ svg }`, a complete SVG document with a `viewBox`. Rows whose cell is no number are left out of a histogram
 * and are gaps in a line. A line of more than two rows a pixel shows the least and the greatest value of each pixel.
 *
 * Throws, each with status 422: `invalid-csv` (no header line, or a malformed or unclosed quote), `unknown-column` (its
 * message names the columns), `column-not-numeric` (no cell is a number), `range-too-wide` (beyond the range of a double).
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
    return { svg: renderPlot(plot, describeCells(cells), widthPx, heightPx) }
  },
})
