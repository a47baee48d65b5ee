/**
 * Shows the beginning of a CSV text and estimates its rows, in about a millisecond whatever its length: it reads a
 * prefix of bounded size only, so that it may run as a first task on the main thread.
 */
import { defineTask } from 'forerunner'
import { z } from 'zod'
import { readCsv, sampleLength, type CsvTable } from './lib/csv.ts'

const sampleRows = 249

function estimateRows({ rows, isComplete, textLength, headerLength, rowsLength }: CsvTable): number {
  if (isComplete) return rows.length
  // If the first row is longer than the sample, it counts as ending there.
  if (rows.length === 0) return Math.ceil((textLength - headerLength) / (sampleLength - headerLength))
  return Math.round((rows.length * (textLength - headerLength)) / rowsLength)
}

/**
 * Returns `{ delimiter, header, rowEstimate, rows }`. `header` holds the trimmed names of the first line, `rows` the
 * first rows as they stand; blank lines do not count. `rowEstimate` leaves the header out; it is exact for a text of
 * at most 249 rows and 32,768 characters, and beyond that the text's length over the mean length of the sampled rows.
 * Throws `invalid-csv` (422) for a text that has no header line or one above 32,768 characters, and for a malformed or
 * (in a text no longer than that) unclosed quote.
 */
export default defineTask({
  input: z.strictObject({
    csv: z.string().max(16_777_216).describe('CSV text; its first line names the columns'),
    rows: z.int().min(1).max(100).default(5).describe('How many of the first rows to return'),
  }),
  run({ csv, rows: shownRows }) {
    const table = readCsv(csv, { maxLength: sampleLength, maxRows: sampleRows })
    return {
      delimiter: table.delimiter,
      header: table.header.map((name) => name.trim()),
      rowEstimate: estimateRows(table),
      rows: table.rows.slice(0, shownRows),
    }
  },
})
