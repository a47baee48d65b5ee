/** csv-profile: types, counts and edge cases on small texts, each figure checked by hand. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import csvProfile from '../../workers/csv-profile.ts'
import { contextWith, perform, refused } from './perform.ts'

const shape = z.object({
  delimiter: z.string(),
  rowCount: z.int(),
  raggedRowCount: z.int(),
  columns: z.array(z.looseObject({ name: z.string(), type: z.string(), missing: z.int(), distinct: z.int() })),
})

const profile = async (csv: string) => shape.parse(await perform(csvProfile, { csv }))
const columnsOf = async (csv: string) => (await profile(csv)).columns
const typesOf = async (csv: string) => (await columnsOf(csv)).map(({ type }) => type)

test('describes a numeric column', async () => {
  assert.equal(await columnsOf('n\n4\n1\n\n3\n2\n4\n'), [
    {
      name: 'n',
      type: 'integer',
      missing: 0,
      distinct: 4,
      topValues: [
        { value: 4, count: 2 },
        { value: 1, count: 1 },
        { value: 3, count: 1 },
        { value: 2, count: 1 },
      ],
      min: 1,
      max: 4,
      mean: 2.8,
      standardDeviation: Math.sqrt(1.7),
      quantiles: { p05: 1.2, p25: 2, p50: 3, p75: 4, p95: 4 },
    },
  ])
})

test('describes dates, booleans, strings and an all-missing column', async () => {
  const csv = 'day,ok,word,none\n2024-02-29,true,ab,\n2023-12-31,FALSE,abcd,NA\n,True,ab,null\n'
  assert.equal(await columnsOf(csv), [
    {
      name: 'day',
      type: 'date',
      missing: 1,
      distinct: 2,
      topValues: [
        { value: '2024-02-29', count: 1 },
        { value: '2023-12-31', count: 1 },
      ],
      min: '2023-12-31',
      max: '2024-02-29',
    },
    {
      name: 'ok',
      type: 'boolean',
      missing: 0,
      distinct: 2,
      topValues: [
        { value: true, count: 2 },
        { value: false, count: 1 },
      ],
    },
    {
      name: 'word',
      type: 'string',
      missing: 0,
      distinct: 2,
      topValues: [
        { value: 'ab', count: 2 },
        { value: 'abcd', count: 1 },
      ],
      minLength: 2,
      maxLength: 4,
    },
    { name: 'none', type: 'empty', missing: 3, distinct: 0, topValues: [] },
  ])
})

const typeCases: [type: string, ...cells: string[]][] = [
  ['integer', '0', '-7', '+5', '9007199254740991'],
  ['number', '1', '2.5', '.5', '1e3', '-3E-2', '4.'],
  ['string', '02134', '10001'],
  ['string', '9007199254740993', '1'],
  ['string', '1e999'],
  ['string', '1,5'],
  ['string', '0x10'],
  ['date', '2024-02-29', '2024-01-01T12:30', '2024-01-01 12:30:59.123Z', '2024-01-01T00:00:00+02:00'],
  ['string', '2023-02-29'],
  ['string', '2024-01-01T24:30'],
  ['string', '2024-13-01'],
  ['string', '31/12/2024'],
  ['boolean', 'true', 'False'],
  ['string', 'true', '1'],
  ['integer', '1', '', 'NaN', 'n/a', '2'],
  ['empty', '', 'NULL'],
]
for (const [type, ...cells] of typeCases) {
  test(`takes ${cells.join(' | ')} for ${type}`, async () => {
    const rows = cells.map((cell) => `"${cell}","x"`)
    assert.equal(await typesOf(['a,b', ...rows].join('\n')), [type, 'string'])
  })
}

test('stays exact even if sums of squares would cancel', async () => {
  const [column] = await columnsOf(`n\n${['4', '7', '13', '16'].map((digit) => 1e9 + Number(digit)).join('\n')}`)
  assert.is(column?.['mean'], 1e9 + 10)
  assert.is(column?.['standardDeviation'], Math.sqrt(30))
  const [same] = await columnsOf(`n\n${'0.1\n'.repeat(10)}`)
  assert.is(same?.['mean'], 0.1)
  assert.is(same?.['standardDeviation'], 0)
})

test('has null for a figure that does not exist or outgrows a double', async () => {
  const [single] = await columnsOf('n\n5')
  assert.is(single?.['standardDeviation'], null)
  assert.is(single?.['mean'], 5)
  const [huge] = await columnsOf('n\n-1.7e308\n1.7e308\n1.7e308\n1.7e308')
  assert.is(huge?.['mean'], null)
  assert.is(huge?.['standardDeviation'], null)
  assert.is(huge?.['max'], 1.7e308)
})

test('reads one text alike with BOM, CRLF, lone CR, mixed line ends or without a last one', async () => {
  const plain = await profile('a,b\n1,x\n2,y\n')
  const texts = [
    '\uFEFFa,b\n1,x\n2,y\n',
    'a,b\r\n1,x\r\n2,y\r\n',
    'a,b\r1,x\r2,y\r',
    'a,b\r\n1,x\n2,y',
    'a,b\n1,x\n2,y',
  ]
  for (const result of await Promise.all(texts.map(profile))) assert.equal(result, plain)
})

test('finds the delimiter and keeps quoted delimiters and line ends', async () => {
  const { delimiter, columns, rowCount } = await profile('name;note\n"Doe; Jane";"two\r\nlines"\n"O""Hara";x\n')
  assert.is(delimiter, ';')
  assert.is(rowCount, 2)
  assert.equal(
    columns.map(({ topValues }) => topValues),
    [
      [
        { value: 'Doe; Jane', count: 1 },
        { value: 'O"Hara', count: 1 },
      ],
      [
        { value: 'two\nlines', count: 1 },
        { value: 'x', count: 1 },
      ],
    ],
  )
})

test('counts ragged rows, their absent cells as missing', async () => {
  const { rowCount, raggedRowCount, columns } = await profile('a,b,c\n1,2,3\n4\n5,6,7,8\n,,\n')
  assert.is(rowCount, 4)
  assert.is(raggedRowCount, 2)
  assert.equal(
    columns.map(({ missing }) => missing),
    [1, 2, 2],
  )
})

test('accepts a header alone and columns without or with equal names', async () => {
  assert.equal(await profile('a,,a\n'), {
    delimiter: ',',
    rowCount: 0,
    raggedRowCount: 0,
    columns: ['a', '', 'a'].map((name) => ({ name, type: 'empty', missing: 0, distinct: 0, topValues: [] })),
  })
})

test('orders top values by count, then by first appearance, and shows five', async () => {
  const [column] = await columnsOf(`w\n${'b a c a f e d c g'.split(' ').join('\n')}`)
  assert.is(column?.distinct, 7)
  assert.equal(column?.['topValues'], [
    { value: 'a', count: 2 },
    { value: 'c', count: 2 },
    { value: 'b', count: 1 },
    { value: 'f', count: 1 },
    { value: 'e', count: 1 },
  ])
})

test('shortens long values but not their length', async () => {
  const [column] = await columnsOf(`w\n${'x'.repeat(5_000)}`)
  assert.is(column?.['maxLength'], 5_000)
  assert.equal(column?.['topValues'], [{ value: `${'x'.repeat(99)}…`, count: 1 }])
})

test('refuses a text without header line, an unclosed quote, and too many columns', async () => {
  const texts = ['', '\uFEFF', '\r\n\r\n', '  \n', ',,\n1,2,3', 'a,b\n"1,2\n3,4']
  await Promise.all(texts.map((csv) => refused(profile(csv), 'invalid-csv')))
  await refused(profile(','.repeat(1_000).replaceAll(',', 'c,')), 'too-many-columns')
})

test('reports its progress up to 1', async () => {
  const fractions: number[] = []
  await perform(csvProfile, { csv: 'a,b,c,d\n1,2,3,4' }, contextWith({ progress: (done) => fractions.push(done) }))
  assert.equal(fractions, [0.25, 0.5, 0.75, 1])
})

test.run()
