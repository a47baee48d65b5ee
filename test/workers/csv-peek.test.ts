/** csv-peek: the beginning of a text as it is, and an estimate of its rows that is exact for short texts. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import csvPeek from '../../workers/csv-peek.ts'
import { fixture } from './fixture.ts'
import { perform, refused } from './perform.ts'

const peekShape = z.strictObject({
  delimiter: z.string(),
  header: z.array(z.string()),
  rowEstimate: z.int(),
  rows: z.array(z.array(z.string())),
})

const peek = async (csv: string, rows?: number) =>
  peekShape.parse(await perform(csvPeek, rows === undefined ? { csv } : { csv, rows }))

function assertNear(actual: number, expected: number, share: number): void {
  assert.ok(Math.abs(actual - expected) <= expected * share, `${actual} is not within ${share} of ${expected}`)
}

test('shows the header and the first five rows of airports.csv', async () => {
  const { delimiter, header, rows, rowEstimate } = await peek(fixture('airports.csv'))
  assert.is(delimiter, ',')
  assert.equal(header, ['iata', 'name', 'city', 'state', 'country', 'latitude', 'longitude'])
  assert.is(rows.length, 5)
  assert.equal(rows[0], ['00M', 'Thigpen', 'Bay Springs', 'MS', 'USA', '31.95376472', '-89.23450472'])
  assertNear(rowEstimate, 3376, 0.05)
})

test('estimates the rows of long texts from a sample', async () => {
  assertNear((await peek(fixture('seattle-weather.csv'))).rowEstimate, 1461, 0.02)
  assertNear((await peek(fixture('sp500-2000.csv'))).rowEstimate, 5105, 0.02)
  assertNear((await peek(`n\r\n${'12345\r\n'.repeat(100_000)}`)).rowEstimate, 100_000, 0.001)
})

test('estimates the rows if only a few fit into the sample', async () => {
  const wide = `${'x'.repeat(9_999)},${'y'.repeat(999)}\n`
  const { rows, rowEstimate } = await peek(`a,b\n${wide.repeat(50)}`)
  assert.is(rows.length, 2)
  assert.is(rowEstimate, 50)
  const wider = await peek(`a,b\n${'x'.repeat(100_000)},y\n`)
  assert.equal(wider.rows, [])
  assert.ok(wider.rowEstimate >= 1)
})

for (const count of [0, 1, 248, 249]) {
  test(`counts ${count} rows of different lengths exactly`, async () => {
    const rows = Array.from({ length: count }, (_, index) => `${index},${'x'.repeat(index % 90)}`)
    const text = ['a,b', ...rows].join('\n')
    const peeks = await Promise.all([text, `${text}\n`, `${text}\n\n\n`].map((csv) => peek(csv)))
    for (const { rowEstimate } of peeks) assert.is(rowEstimate, count)
  })
}

test('returns as many rows as requested, and all of a shorter text', async () => {
  const csv = fixture('seattle-weather.csv')
  const lines = csv.split('\n').map((line) => line.split(','))
  assert.equal((await peek(csv, 100)).rows, lines.slice(1, 101))
  assert.equal((await peek(csv, 1)).rows, lines.slice(1, 2))
  assert.equal((await peek('a\n1\n2', 100)).rows, [['1'], ['2']])
})

for (const csv of ['\uFEFFa,b\n1,2\n3,4', 'a,b\r\n1,2\r\n3,4\r\n', 'a,b\r1,2\r3,4', 'a,b\r\n1,2\n3,4\n']) {
  test(`reads past the BOM and line ends of ${JSON.stringify(csv)}`, async () => {
    const { header, rows, rowEstimate } = await peek(csv)
    assert.equal(header, ['a', 'b'])
    assert.equal(rows.join(';'), '1,2;3,4')
    assert.is(rowEstimate, 2)
  })
}

for (const delimiter of [',', ';', '\t', '|']) {
  test(`finds the delimiter ${JSON.stringify(delimiter)}`, async () => {
    const found = await peek(`a${delimiter}b\n1${delimiter}2\n`)
    assert.is(found.delimiter, delimiter)
    assert.equal(found.rows, [['1', '2']])
  })
}

test('keeps quoted delimiters, quotes and line ends, and ragged rows', async () => {
  const { rows } = await peek('a,b\n"1, one","say ""hi""\nthere"\n2\n3,4,5\n')
  assert.equal(rows, [['1, one', 'say "hi"\nthere'], ['2'], ['3', '4', '5']])
})

test('accepts a single column and a header alone', async () => {
  assert.equal(await peek('name\nAda\nGrace\n'), {
    delimiter: ',',
    header: ['name'],
    rowEstimate: 2,
    rows: [['Ada'], ['Grace']],
  })
  assert.equal(await peek('a,b'), { delimiter: ',', header: ['a', 'b'], rowEstimate: 0, rows: [] })
})

test('refuses a text without header line', async () => {
  const texts = ['', '\uFEFF', '\n\n', ' \n', ' , \n1,2', '"a,b\n1,2', 'x'.repeat(40_000)]
  await Promise.all(texts.map((csv) => refused(peek(csv), 'invalid-csv')))
})

test('has bounds on its input', () => {
  const { input } = csvPeek
  for (const rows of [0, 101, 1.5, '5']) assert.not(input?.safeParse({ csv: 'a', rows }).success)
  assert.not(input?.safeParse({ csv: 'a', row: 1 }).success)
  assert.not(input?.safeParse({}).success)
})

test.run()
