/**
 * csv-profile on real data, against figures found in another way: the texts are read without a CSV library, and mean,
 * deviation and quantiles are computed on decimals as whole numbers (BigInt), so the expected figures have no rounding.
 */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import csvProfile from '../../workers/csv-profile.ts'
import { fixture } from './fixture.ts'
import { perform } from './perform.ts'

const columnShape = z.looseObject({
  name: z.string(),
  type: z.string(),
  missing: z.int(),
  distinct: z.int(),
  topValues: z.array(z.strictObject({ value: z.unknown(), count: z.int() })),
})
const numericShape = z.object({
  min: z.number(),
  max: z.number(),
  mean: z.number(),
  standardDeviation: z.number(),
  quantiles: z.strictObject({ p05: z.number(), p25: z.number(), p50: z.number(), p75: z.number(), p95: z.number() }),
})
const profileShape = z.strictObject({
  delimiter: z.literal(','),
  rowCount: z.int(),
  raggedRowCount: z.literal(0),
  columns: z.array(columnShape),
})

/** Every decimal of the fixtures has at most so many places. */
const places = 10
const unit = 10n ** BigInt(places)

function scaled(decimal: string): bigint {
  const [, sign, whole = '', fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(decimal) ?? []
  assert.ok(fraction.length <= places)
  return BigInt(`${sign}${whole}${fraction.padEnd(places, '0')}`)
}

/** The nearest double of a fraction, by way of 25 significant decimals. */
function ratio(numerator: bigint, denominator: bigint): number {
  return Number(`${(numerator * 10n ** 25n) / denominator}e-25`)
}

/** Whole square root, rounded down (Newton). */
function squareRoot(value: bigint): bigint {
  let root = value
  let next = (value + 1n) / 2n
  while (next < root) {
    root = next
    next = (root + value / root) / 2n
  }
  return root
}

function exactFigures(decimals: readonly string[]) {
  const values = decimals.map(scaled).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const at = (index: number) => values[index] ?? 0n
  const count = BigInt(values.length)
  const sum = values.reduce((total, value) => total + value, 0n)
  const squares = values.reduce((total, value) => total + value * value, 0n)
  const quantile = (percent: number) => {
    const [index, rest] = [Math.floor(((values.length - 1) * percent) / 100), ((values.length - 1) * percent) % 100]
    return ratio(at(index) * BigInt(100 - rest) + at(index + 1) * BigInt(rest), 100n * unit)
  }
  // Variance = (n·Σx² − (Σx)²) / (n·(n − 1)), whole but for the last division.
  const variance = ((count * squares - sum * sum) * 10n ** 20n) / (count * (count - 1n))
  return {
    min: ratio(at(0), unit),
    max: ratio(at(values.length - 1), unit),
    mean: ratio(sum, count * unit),
    standardDeviation: ratio(squareRoot(variance), unit * 10n ** 10n),
    quantiles: { p05: quantile(5), p25: quantile(25), p50: quantile(50), p75: quantile(75), p95: quantile(95) },
  }
}

function assertClose(actual: number, expected: number, what: string): void {
  assert.ok(Math.abs(actual - expected) <= Math.abs(expected) * 1e-14, `${what}: ${actual} instead of ${expected}`)
}

/** Character by character, with the quotes of RFC 4180. */
function readQuoted(text: string): string[][] {
  const rows: string[][] = [[]]
  let cell = ''
  let isQuoted = false
  for (const character of text.trim()) {
    if (character === '"') {
      isQuoted = !isQuoted
      // A doubled quote opens again at once: the first one of the pair stands for itself.
      if (isQuoted && cell !== '') cell += '"'
    } else if (isQuoted || (character !== ',' && character !== '\n')) {
      cell += character
    } else {
      rows.at(-1)?.push(cell)
      cell = ''
      if (character === '\n') rows.push([])
    }
  }
  rows.at(-1)?.push(cell)
  return rows
}

const splitLines = (text: string) => text.split('\n').flatMap((line) => (line === '' ? [] : [line.split(',')]))

const files = [
  { name: 'seattle-weather.csv', read: splitLines, types: 'date number number number number string' },
  { name: 'sp500-2000.csv', read: splitLines, types: 'date number number number number number integer' },
  { name: 'airports.csv', read: readQuoted, types: 'string string string string string number number' },
] as const

for (const { name, read, types } of files) {
  test(`profiles ${name}`, async () => {
    const text = fixture(name)
    const [header = [], ...rows] = read(text)
    const { columns, rowCount } = profileShape.parse(await perform(csvProfile, { csv: text }))
    assert.is(rowCount, rows.length)
    assert.is(columns.map(({ type }) => type).join(' '), types)
    const names = columns.map((column) => column.name)
    assert.equal(names, header)

    for (const [index, column] of columns.entries()) {
      const cells = rows.flatMap((row) => (row[index] === 'NA' ? [] : [row[index] ?? '']))
      assert.is(column.missing, rows.length - cells.length, column.name)
      const isNumeric = column.type === 'integer' || column.type === 'number'
      const groups = Map.groupBy<string | number, string>(cells, (cell) => (isNumeric ? Number(cell) : cell))
      assert.is(column.distinct, groups.size, column.name)
      const counts = [...groups].map(([value, group]) => ({ value, count: group.length }))
      const expectedTop = counts.toSorted((a, b) => b.count - a.count).slice(0, 5)
      assert.equal(column.topValues, expectedTop)

      if (isNumeric) assertFigures(numericShape.parse(column), exactFigures(cells), column.name)
      else if (column.type === 'date') {
        const days = cells.toSorted()
        assert.equal([column['min'], column['max']], [days.at(0), days.at(-1)])
      } else {
        const lengths = cells.map((cell) => cell.length).toSorted((a, b) => a - b)
        assert.equal([column['minLength'], column['maxLength']], [lengths.at(0), lengths.at(-1)])
      }
    }
  })
}

function assertFigures(actual: z.infer<typeof numericShape>, expected: ReturnType<typeof exactFigures>, name: string) {
  assert.is(actual.min, expected.min)
  assert.is(actual.max, expected.max)
  assertClose(actual.mean, expected.mean, `mean of ${name}`)
  assertClose(actual.standardDeviation, expected.standardDeviation, `deviation of ${name}`)
  for (const key of ['p05', 'p25', 'p50', 'p75', 'p95'] as const) {
    assertClose(actual.quantiles[key], expected.quantiles[key], `${key} of ${name}`)
  }
}

test('knows the facts that anyone can count', async () => {
  const { columns } = profileShape.parse(await perform(csvProfile, { csv: fixture('airports.csv') }))
  const [, , city, state, country] = columns
  assert.is(city?.missing, 12)
  assert.is(state?.missing, 12)
  assert.equal(country?.topValues[0], { value: 'USA', count: 3372 })
})

test.run()
