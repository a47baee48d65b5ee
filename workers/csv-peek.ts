/**
 * Shows the beginning of a CSV text and estimates its rows, in about a millisecond whatever its length: it reads a
 * prefix of bounded size only, so that it may run as a first task on the main thread.
 */
import { defineTask } from 'forerunner'
import Papa from 'papaparse'
import { z } from 'zod'

const sampleLength = 32_768
const sampleRows = 250

const refusal = (message: string) =>
  Object.assign(new Error(message), { code: 'invalid-csv', status: 422, retryable: false })

/** Characters that a row without quotes takes, its line end left out. */
const lengthOf = (row: readonly string[], delimiter: string) => row.join(delimiter).length

/**
 * Returns `{ delimiter, header, rowEstimate, rows }`. `header` holds the trimmed names of the first line, `rows` the
 * first rows as they stand; blank lines do not count. `rowEstimate` leaves the header out; it is exact for a text of
 * at most 249 rows and 32,768 characters, and beyond that the text's length over the mean length of the sampled rows.
 * Throws `invalid-csv` (422) for a text that has no header line, one above 32,768 characters, or (in a text no longer
 * than that) an unclosed quote.
 */
export default defineTask({
  input: z.strictObject({
    csv: z.string().max(16_777_216).describe('CSV text; its first line names the columns'),
    rows: z.int().min(1).max(100).default(5).describe('How many of the first rows to return'),
  }),
  run({ csv, rows: shownRows }) {
    const start = csv.startsWith('\uFEFF') ? 1 : 0
    const prefix = csv.slice(start, start + sampleLength)
    // One kind of line end: a text of mixed ones would otherwise be read as one endless row.
    const sample = prefix.replaceAll(/\r\n?/g, '\n')
    const parsed = Papa.parse<string[]>(sample, {
      newline: '\n',
      skipEmptyLines: true,
      preview: sampleRows,
      fastMode: false, // its cursor is one row ahead when it stops at `preview`
    })
    const { delimiter, truncated: hasEnoughRows, cursor } = parsed.meta
    const isWholeText = start + prefix.length === csv.length
    const isLastRowCut = !isWholeText && !hasEnoughRows

    const [header, ...body] = parsed.data
    if (header === undefined || header.every((name) => name.trim() === '')) {
      throw refusal('The text has no header line: the first line must name the columns.')
    }
    if (isLastRowCut && body.length === 0) throw refusal(`The header line is longer than ${sampleLength} characters.`)
    if (isWholeText && parsed.errors.some(({ code }) => code === 'MissingQuotes')) {
      throw refusal('A quoted field is never closed.')
    }

    const complete = isLastRowCut ? body.slice(0, -1) : body
    return {
      delimiter,
      header: header.map((name) => name.trim()),
      rowEstimate: isWholeText && !hasEnoughRows ? complete.length : estimate(),
      rows: complete.slice(0, shownRows),
    }

    function estimate(): number {
      const headerLength = lengthOf(header ?? [], delimiter) + 1
      const textLength = (csv.length - start) * (sample.length / prefix.length) - headerLength
      // A first row that outgrows the sample counts as if it ended there.
      if (complete.length === 0) return Math.ceil(textLength / (sample.length - headerLength))
      const completeEnd = isLastRowCut ? sample.length - lengthOf(body.at(-1) ?? [], delimiter) : cursor
      return Math.round((complete.length * textLength) / (completeEnd - headerLength))
    }
  },
})
