/** All CSV tasks read one text alike: what a correct writer wrote comes back, and what is ambiguous is refused. */
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import csvChart from '../../workers/csv-chart.ts'
import csvPeek from '../../workers/csv-peek.ts'
import csvProfile from '../../workers/csv-profile.ts'
import { readCsv } from '../../workers/lib/csv.ts'
import { perform, refused } from './perform.ts'

const peekShape = z.object({
  delimiter: z.string(),
  header: z.array(z.string()),
  rowEstimate: z.int(),
  rows: z.array(z.array(z.string())),
})
const profileShape = z.object({
  delimiter: z.string(),
  rowCount: z.int(),
  raggedRowCount: z.int(),
  columns: z.array(z.looseObject({ name: z.string(), type: z.string(), missing: z.int() })),
})
const peek = async (csv: string) => peekShape.parse(await perform(csvPeek, { csv, rows: 100 }))
const profile = async (csv: string) => profileShape.parse(await perform(csvProfile, { csv }))

const delimiters = [',', ';', '\t', '|'] as const

interface Dialect {
  readonly delimiter: string
  readonly lineEnd: string
  readonly quotesAll: boolean
  readonly endsLine: boolean
  readonly blankLines: boolean
  readonly bom: boolean
}

/** Writes as RFC 4180 says; only the header is careful about delimiters that are not its own. */
function write(table: readonly (readonly string[])[], dialect: Dialect): string {
  const lines = table.map((row, index) => {
    const mustQuote = index === 0 ? /[",;\t|\n\r]/ : new RegExp(`["\n\r${dialect.delimiter}]`)
    const cells = row.map((cell) => {
      const isBlankLine = row.length === 1 && cell.trim() === ''
      const isQuoted = dialect.quotesAll || isBlankLine || mustQuote.test(cell)
      return isQuoted ? `"${cell.replaceAll('"', '""')}"` : cell
    })
    return cells.join(dialect.delimiter)
  })
  const text = lines.join(dialect.lineEnd.repeat(dialect.blankLines ? 3 : 1))
  return `${dialect.bom ? '\uFEFF' : ''}${text}${dialect.endsLine ? dialect.lineEnd : ''}`
}

const dialects: fc.Arbitrary<Dialect> = fc.record({
  delimiter: fc.constantFrom(...delimiters),
  lineEnd: fc.constantFrom('\n', '\r\n', '\r'),
  quotesAll: fc.boolean(),
  endsLine: fc.boolean(),
  blankLines: fc.boolean(),
  bom: fc.boolean(),
})
const pieces = [
  'a',
  'B',
  '0',
  '1.5',
  ',',
  ';',
  '\t',
  '|',
  '"',
  '""',
  '\n',
  ' ',
  '\u00A0',
  'é',
  '\u{1F600}',
  '\uD800',
  '#',
  '\\',
  "'",
]
const cell = fc.oneof(
  fc.array(fc.constantFrom(...pieces), { maxLength: 6 }).map((all) => all.join('')),
  fc.string(),
)
// A line end in a quoted cell comes back as \n, like any other.
const clean = cell.map((text) => text.replaceAll(/\r\n?/g, '\n').replaceAll('\0', ''))
const name = clean.map((text) => `n${text}`)
const tables = fc
  .integer({ min: 1, max: 5 })
  .chain((columns) =>
    fc
      .tuple(
        fc.array(name, { minLength: columns, maxLength: columns }),
        fc.array(fc.array(clean, { minLength: columns, maxLength: columns }), { maxLength: 8 }),
      )
      .map(([header, rows]) => [header, ...rows]),
  )

test('gives back every table that a correct writer wrote, in peek and profile alike', async () => {
  const property = fc.asyncProperty(tables, dialects, async (table, dialect) => {
    const csv = write(table, dialect)
    const [header = [], ...rows] = table
    const shown = await peek(csv)
    assert.equal([shown.header, ...shown.rows], [header.map((text) => text.trim()), ...rows])
    assert.is(shown.rowEstimate, rows.length)
    if (header.length > 1) assert.is(shown.delimiter, dialect.delimiter)
    const { delimiter, rowCount, raggedRowCount, columns } = await profile(csv)
    assert.equal([delimiter, rowCount, raggedRowCount], [shown.delimiter, rows.length, 0])
    assert.is(columns.length, header.length)
  })
  await fc.assert(property, { numRuns: 300 })
})

test('never lets peek and profile differ about any short text', async () => {
  const characters = fc.constantFrom('a', '1', ',', ';', '"', '"', '\n', '\n', '\r', ' ', '\t', 'sep=')
  const texts = fc.array(characters, { maxLength: 24 }).map((all) => all.join(''))
  const property = fc.asyncProperty(texts, async (csv) => {
    const [shown, whole] = await Promise.allSettled([peek(csv), profile(csv)])
    assert.is(shown.status, whole.status, JSON.stringify(csv))
    if (shown.status === 'rejected' || whole.status === 'rejected') return
    assert.equal([shown.value.delimiter, shown.value.rowEstimate], [whole.value.delimiter, whole.value.rowCount])
    const names = whole.value.columns.map((column) => column.name)
    assert.equal(shown.value.header, names)
    const ragged = shown.value.rows.filter((row) => row.length !== names.length).length
    assert.is(ragged, whole.value.raggedRowCount)
  })
  await fc.assert(property, { numRuns: 300 })
})

const malformed: Record<string, [csv: string, line: number]> = {
  'text after a closing quote': ['a,b\n"x"y,1\n"z",2\n', 2],
  'a quote that is not doubled': ['a,b\n1,2\n"say "hi"",2\n', 3],
  'text after the closing quote of the last cell': ['a,b\n1,"x"y', 2],
  'a quote that is never closed': ['a,b\n1,2\n3,"4\n5,6\n', 3],
  'a lone quote at the end': ['a,b\n1,2\n"', 3],
  'such a header': ['"a"b,c\n1,2\n', 1],
}
for (const [what, [csv, line]] of Object.entries(malformed)) {
  test(`refuses ${what} and names the line`, async () => {
    const calls = [peek(csv), profile(csv), perform(csvChart, { csv, column: 'a' })]
    const messages = await Promise.all(calls.map((call) => refused(call, 'invalid-csv')))
    for (const message of messages) assert.match(message, `Line ${line}:`)
  })
}

test('refuses UTF-16 that was read as something else', async () => {
  const bytes = Buffer.from('\uFEFFa,b\n1,2\n', 'utf16le')
  const texts = [
    bytes.toString('latin1'),
    bytes.toString('utf8'),
    bytes.subarray(2).toString('utf8'),
    '\uFFFEa,b\n1,2\n',
  ]
  await Promise.all(texts.flatMap((csv) => [refused(peek(csv), 'invalid-csv'), refused(profile(csv), 'invalid-csv')]))
})

const readings: Record<string, [csv: string, delimiter: string, ...rows: string[][]]> = {
  "Excel's separator line": ['sep=;\na;b,c\n1;2\n', ';', ['a', 'b,c'], ['1', '2']],
  'a separator line with BOM and CRLF': ['\uFEFFsep=,\r\na,b;c\r\n1,2\r\n', ',', ['a', 'b;c'], ['1', '2']],
  'a separator line in quotes': ['"sep=|"\na|b\n1|2', '|', ['a', 'b'], ['1', '2']],
  'a separator line with an unusual one': ['SEP=^\na^b\n1^2', '^', ['a', 'b'], ['1', '2']],
  'a separator line with blanks behind it': ['sep=; \na;b,c\n1;2', ';', ['a', 'b,c'], ['1', '2']],
  'a separator line that is filled up': ['sep=,,,\na,b\n1,2', ',', ['a', 'b'], ['1', '2']],
  'a header that begins like one': ['sep=x,b\n1,2', ',', ['sep=x', 'b'], ['1', '2']],
  'decimal commas': ['a;b\n1,5;2,5\n3,5;4,5\n', ';', ['a', 'b'], ['1,5', '2,5'], ['3,5', '4,5']],
  'one column with commas in every row': ['name\nDoe, Jane\nRoe, Max\n', ';', ['name'], ['Doe, Jane'], ['Roe, Max']],
  'delimiters inside quotes': ['x;"a,b"\n1;"2,3"\n', ';', ['x', 'a,b'], ['1', '2,3']],
  'a header whose quoted name has more delimiters': ['"a|b|c",d\n1,2\n', ',', ['a|b|c', 'd'], ['1', '2']],
  'a quote in the middle of an unquoted cell': ['a,b\n6" pipe,2\n', ',', ['a', 'b'], ['6" pipe', '2']],
  'a doubled quote alone on a line': ['a\n"x\n""\ny"\n', ',', ['a'], ['x\n"\ny']],
  'spaces around closing quotes': ['a,b\n"1" ,"2" \n"3","4" ', ',', ['a', 'b'], ['1', '2'], ['3', '4']],
  'an empty quoted cell of one column': ['a\n""\n1\n', ',', ['a'], [''], ['1']],
  'blank lines and lines of spaces': ['\n  \na,b\n\n \t\n1,2\n\n', ',', ['a', 'b'], ['1', '2']],
  'lines of delimiters alone': ['a\tb\n\t\n1\t2\n', '\t', ['a', 'b'], ['', ''], ['1', '2']],
  'mixed line ends': ['a,b\r\n1,2\n3,4\r5,6', ',', ['a', 'b'], ['1', '2'], ['3', '4'], ['5', '6']],
  'a byte order mark that was read as Latin-1': ['ï»¿a,b\n1,2', ',', ['a', 'b'], ['1', '2']],
}
for (const [what, [csv, delimiter, ...table]] of Object.entries(readings)) {
  test(`reads ${what}`, () => {
    const read = readCsv(csv)
    assert.equal([read.delimiter, [read.header, ...read.rows]], [delimiter, table])
  })
}

test('finds the same delimiter in a long text, whatever its header', async () => {
  const header = Array.from({ length: 900 }, (_, column) => `${'x'.repeat(50)}${column}`)
  const csv = `${header.join(';')}\n${'1;'.repeat(899)}2\n`
  assert.is((await profile(csv)).delimiter, ';')
  const quoted = `a;b\n1;"${'x,'.repeat(40_000)}"\n`
  assert.equal([(await peek(quoted)).delimiter, (await profile(quoted)).delimiter], [';', ';'])
})

test('keeps names that are special to JavaScript', async () => {
  const { columns } = await profile('__proto__,constructor,a,a\n1,2,3,4\n')
  const names = columns.map((column) => `${column.name} ${column.type}`)
  assert.equal(names, ['__proto__ integer', 'constructor integer', 'a integer', 'a integer'])
})

test('describes the widest text within the bounds of a result', async () => {
  const wide = Array.from({ length: 1_000 }, () => '\u0001'.repeat(100))
  const rows = [1, 2, 3, 4, 5].map((row) => wide.map((text) => `${row}${text}`).join(','))
  const result = await perform(csvProfile, { csv: [wide.join(','), ...rows].join('\n') })
  assert.ok(Buffer.byteLength(JSON.stringify(result)) <= 1_048_576)
})

test.run()
