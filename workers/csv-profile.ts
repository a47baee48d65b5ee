/**
 * Describes every column of a CSV text: type, missing and distinct values, spread and most frequent values. It reads
 * the whole text and holds it in memory while it works, so it belongs on a thread.
 */
import { defineTask } from 'forerunner'
import { z } from 'zod'
import { numberPattern, readCsv } from './lib/csv.ts'
import { refusal } from './lib/refusal.ts'

const maxColumns = 1_000
const maxTopValues = 5
/** Less if there are many columns, because a result has limits: a character can take six bytes in it. */
const shownLengthOf = (columnCount: number) => Math.min(100, Math.floor(18_000 / columnCount))

const missingMarkers = new Set(['', 'NA', 'N/A', 'n/a', 'NaN', 'nan', 'NULL', 'null'])
const integerPattern = /^[+-]?(?:0|[1-9]\d*)$/
const datePattern =
  /^(\d{4})-(\d{2})-(\d{2})(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)?)?$/

/** An integer that a double cannot represent is an identifier: its digits matter, and arithmetic would be wrong. */
function isNumber(cell: string): boolean {
  if (!numberPattern.test(cell)) return false
  const value = Number(cell)
  return integerPattern.test(cell) ? Number.isSafeInteger(value) : Number.isFinite(value)
}

function isDate(cell: string): boolean {
  const [, year, month, day] = datePattern.exec(cell) ?? []
  if (year === undefined) return false
  // The 30th of February rolls over into March.
  const date = new Date(`${year}-01-01T00:00:00Z`)
  date.setUTCMonth(Number(month) - 1, Number(day))
  return date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day)
}

/** Ties keep the order of their first appearance. */
function countValues<Value>(values: Iterable<Value>, shownLength: number) {
  const counts = new Map<Value, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  const topValues = [...counts]
    .toSorted(([, countA], [, countB]) => countB - countA)
    .slice(0, maxTopValues)
    .map(([value, count]) => ({ value: typeof value === 'string' ? shorten(value, shownLength) : value, count }))
  return { distinct: counts.size, topValues }
}

function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`.toWellFormed()
}

/** Neumaier's sum: exact to the last bit or two, whatever the order and the magnitudes. */
function sum(values: Float64Array): number {
  let total = 0
  let lost = 0
  for (const value of values) {
    const next = total + value
    lost += Math.abs(total) >= Math.abs(value) ? total - next + value : value - next + total
    total = next
  }
  return total + lost
}

/** Linear interpolation between order statistics: type 7 of Hyndman and Fan, the default of R and NumPy. */
function quantile(sorted: Float64Array, probability: number): number {
  const position = (sorted.length - 1) * probability
  const below = sorted[Math.floor(position)] ?? Number.NaN
  const above = sorted[Math.ceil(position)] ?? Number.NaN
  return below + (above - below) * (position - Math.floor(position))
}

/** JSON has no infinity: a figure beyond the range of a double is null. */
const finite = (value: number) => (Number.isFinite(value) ? value : null)

function summarizeNumbers(values: Float64Array) {
  const sorted = values.toSorted()
  const mean = sum(values) / values.length
  const deviations = values.map((value) => value - mean)
  // Two passes; the second term removes the rounding error of the mean.
  const squares = sum(deviations.map((deviation) => deviation ** 2)) - sum(deviations) ** 2 / values.length
  return {
    min: sorted.at(0) ?? null,
    max: sorted.at(-1) ?? null,
    mean: finite(mean),
    standardDeviation: values.length < 2 ? null : finite(Math.sqrt(Math.max(0, squares) / (values.length - 1))),
    quantiles: {
      p05: finite(quantile(sorted, 0.05)),
      p25: finite(quantile(sorted, 0.25)),
      p50: finite(quantile(sorted, 0.5)),
      p75: finite(quantile(sorted, 0.75)),
      p95: finite(quantile(sorted, 0.95)),
    },
  }
}

function summarizeDates(cells: readonly string[]) {
  return {
    min: cells.reduce((first, cell) => (cell < first ? cell : first)),
    max: cells.reduce((last, cell) => (cell > last ? cell : last)),
  }
}

function summarizeStrings(cells: readonly string[]) {
  const lengths = cells.map((cell) => cell.length)
  return {
    minLength: lengths.reduce((least, length) => Math.min(least, length)),
    maxLength: lengths.reduce((most, length) => Math.max(most, length)),
  }
}

function summarize(cells: readonly string[], shownLength: number) {
  const counted = <Value>(values: Iterable<Value>) => countValues(values, shownLength)
  if (cells.length === 0) return { type: 'empty', ...counted(cells) }
  if (cells.every(isNumber)) {
    const type = cells.every((cell) => integerPattern.test(cell)) ? 'integer' : 'number'
    const values = Float64Array.from(cells, Number)
    return { type, ...counted(values), ...summarizeNumbers(values) }
  }
  if (cells.every((cell) => /^(?:true|false)$/i.test(cell))) {
    return { type: 'boolean', ...counted(cells.map((cell) => cell.toLowerCase() === 'true')) }
  }
  if (cells.every(isDate)) return { type: 'date', ...counted(cells), ...summarizeDates(cells) }
  return { type: 'string', ...counted(cells), ...summarizeStrings(cells) }
}

/**
 * Returns `{ delimiter, rowCount, raggedRowCount, columns }`, the columns in the order of the text. Cells are trimmed;
 * blank lines do not count. A ragged row has more cells than the header (they are left out) or fewer (they count as
 * missing).
 *
 * Every column has `name`, `type`, `missing` (cells that are empty or NA, N/A, NaN, null), `distinct` (missing cells
 * left out) and `topValues`: up to five `{ value, count }`, most frequent first, ties by first appearance. Names and
 * values above 100 characters are shortened, above 180 columns to less. `type` is that of all cells that are not missing:
 * - `integer`, `number`: also `min`, `max`, `mean`, `standardDeviation` (n − 1; null below two values) and `quantiles`
 *   `p05 p25 p50 p75 p95` (linear interpolation). A leading zero or an integer above 2^53 − 1 makes a `string`.
 * - `date` (ISO 8601, with or without a time): also `min` and `max`, in the order of the text.
 * - `string`: also `minLength` and `maxLength`, in UTF-16 code units.
 * - `boolean` (true or false in any case) and `empty` (every cell is missing): nothing more.
 *
 * Throws `invalid-csv` (422) for a text that has no header line or a malformed or unclosed quote, and `too-many-columns` (422).
 */
export default defineTask({
  input: z.strictObject({
    csv: z.string().max(16_777_216).describe('CSV text; its first line names the columns'),
  }),
  run({ csv }, { progress }) {
    const { header, rows, delimiter } = readCsv(csv)
    if (header.length > maxColumns) {
      throw refusal('too-many-columns', `The text has ${header.length} columns; at most ${maxColumns} are profiled.`)
    }
    const shownLength = shownLengthOf(header.length)
    const columns = header.map((name, index) => {
      const cells = rows.map((row) => (row[index] ?? '').trim()).filter((cell) => !missingMarkers.has(cell))
      progress((index + 1) / header.length)
      const missing = rows.length - cells.length
      return { name: shorten(name.trim(), shownLength), missing, ...summarize(cells, shownLength) }
    })
    const raggedRowCount = rows.filter((row) => row.length !== header.length).length
    return { delimiter, rowCount: rows.length, raggedRowCount, columns }
  },
})
