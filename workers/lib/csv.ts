/**
 * Reads CSV text (RFC 4180) for all the CSV tasks, so that they agree about the same text. What can be read in two ways
 * only by guessing is refused, with its line.
 */
import Papa, { type ParseStepResult } from 'papaparse'
import { refusal } from './refusal.ts'

export interface CsvTable {
  readonly delimiter: string
  /** As in the text, like the rows. At least one name is not blank. */
  readonly header: readonly string[]
  /** Without blank lines, which are unquoted and have at most white space. */
  readonly rows: readonly (readonly string[])[]
  /** Whether these are all rows of the text. */
  readonly isComplete: boolean
  /** In characters, each line end counted as one. An estimate if the text was not read to its end. */
  readonly textLength: number
  readonly headerLength: number
  readonly rowsLength: number
}

export interface CsvLimits {
  /** Characters to read; a row that is cut off there is omitted. */
  readonly maxLength?: number
  readonly maxRows?: number
}

/** The delimiter is detected from a text's first characters, whatever the limits, so that every task detects the same. */
export const sampleLength = 32_768
const sampleRows = 50

/** No leading zeros: 02134 is a postal code, and its zero matters. */
export const numberPattern = /^[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i

/** Excel and others read `sep=` from the first line, which some programs pad with delimiters when they save it. */
const separatorLine = /^"?sep=([^"\n])"?(?:\1|[ \t])*\n/i
/** Text in UTF-16 that was decoded as something else: its byte order mark, or a NUL next to each of the first letters. */
const looksLikeUtf16 = /^(?:\uFFFE|\uFFFD\uFFFD|ÿþ|þÿ|[^\0]\0[^\0]\0|\0[^\0]\0[^\0])/

/**
 * Finds the delimiter (`sep=`, or one of `, ; | tab`) and reads the rows that the limits allow.
 * @throws `invalid-csv` (422): no header line, a malformed or unclosed quote in what is read, or UTF-16
 */
export function readCsv(csv: string, { maxLength = Infinity, maxRows = Infinity }: CsvLimits = {}): CsvTable {
  if (looksLikeUtf16.test(csv)) throw refusal('invalid-csv', 'The text is UTF-16 that was read as another encoding.')
  // A byte order mark, also one that was read as Latin-1.
  const csvText = csv.replace(/^(?:\uFEFF|ï»¿)/, '')
  const { text, isWhole, scale } = wholeLines(csvText, maxLength)
  const [separator = '', named] = separatorLine.exec(text) ?? []
  const delimiter = named ?? findDelimiter(wholeLines(csvText, sampleLength).text || csvText.slice(0, sampleLength))

  const rows: string[][] = []
  const ends: number[] = []
  let end = separator.length
  let isComplete = isWhole
  function onRow({ data, errors: [error], meta }: ParseStepResult<string[]>, parser: Papa.Parser): void {
    const start = end
    end = Math.max(start, meta.cursor)
    // In a part of a text, an unclosed quote may be closed later.
    if (error?.code === 'MissingQuotes' && !isWhole) return
    if (error !== undefined) throw quoteRefusal(text, error)
    const isBlank = data.length === 1 && text.slice(start, end).trim() === ''
    if (end === separator.length || isBlank) return
    if (rows.length <= maxRows) {
      rows.push(data)
      ends.push(end)
    } else {
      isComplete = false
      parser.abort()
    }
  }
  // Normalizes line ends; rows are parsed one by one, because only the position distinguishes "" from a blank line.
  Papa.parse<string[]>(text, { delimiter, newline: '\n', step: onRow })

  const [header, ...body] = rows
  if (header === undefined && !isWhole) {
    throw refusal('invalid-csv', `The header line is longer than ${maxLength} characters.`)
  }
  if (header === undefined || header.every((name) => name.trim() === '')) {
    throw refusal('invalid-csv', 'The text has no header line: the first line must name the columns.')
  }
  const [headerLength = 0] = ends
  const rowsLength = (ends.at(-1) ?? 0) - headerLength
  return { delimiter, header, rows: body, isComplete, textLength: csvText.length * scale, headerLength, rowsLength }
}

/** The lines that end within this many characters, or all, with `\n` as line end. */
function wholeLines(csv: string, maxLength: number) {
  const isWhole = csv.length <= maxLength
  const part = csv.slice(0, maxLength)
  const lines = isWhole ? `${part}\n` : part.slice(0, Math.max(part.lastIndexOf('\n'), part.lastIndexOf('\r')) + 1)
  const text = lines.replaceAll(/\r\n?/g, '\n')
  return { text, isWhole, scale: text.length / (lines.length || 1) }
}

/** The delimiter that splits the header line, and gives the most rows the same number of cells, and the most cells. */
function findDelimiter(sample: string): string {
  const withoutQuoted = sample.replaceAll(/(?<=^|[,;\t|])"[^"]*(?:""[^"]*)*"/gm, 'x')
  const lines = withoutQuoted.split('\n').filter((line) => line.trim() !== '')
  const candidates = [',', ';', '\t', '|'].map((delimiter) => {
    const counts = lines.slice(0, sampleRows).map((line) => line.split(delimiter).length)
    const [columns = 1] = counts
    return { delimiter, columns, misfits: counts.filter((count) => count !== columns).length }
  })
  const [best] = candidates.toSorted(
    (a, b) => Number(b.columns > 1) - Number(a.columns > 1) || a.misfits - b.misfits || b.columns - a.columns,
  )
  return best?.delimiter ?? ','
}

/** After a malformed quote the parser can only guess, and may treat lines as the inside of a field. */
function quoteRefusal(text: string, { code, index = 0 }: Papa.ParseError): Error {
  const line = text.slice(0, index).split('\n').length
  const what = code === 'MissingQuotes' ? 'is never closed' : 'has text after its closing quote, or a quote not doubled'
  return refusal('invalid-csv', `Line ${line}: a quoted field ${what}.`)
}
