/** csv-chart: the drawing says what the column says, is valid SVG, and stays small. */
import * as fc from 'fast-check'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import csvChart from '../../workers/csv-chart.ts'
import { fixture } from './fixture.ts'
import { perform, refused } from './perform.ts'

const chartShape = z.strictObject({ svg: z.string() })

async function chart(input: z.input<NonNullable<typeof csvChart.input>>): Promise<string> {
  const { svg } = chartShape.parse(await perform(csvChart, input))
  assert.not.match(svg, /NaN|Infinity|undefined/)
  // Renders only when it is well-formed XML.
  const { width, height } = await sharp(Buffer.from(svg)).metadata()
  assert.equal([width, height], [input.widthPx ?? 800, input.heightPx ?? 450])
  return svg
}

/** The bars' counts and heights, as the SVG has them. */
function barsOf(svg: string): { count: number; heightPx: number }[] {
  const bars = svg.matchAll(/<rect [^>]*height="([\d.]+)"><title>[^<]*: (\d+)<\/title>/g)
  return [...bars].map(([, heightPx, count]) => ({ count: Number(count), heightPx: Number(heightPx) }))
}

/** The line's stretches, each a list of [x, y] in pixels. */
function stretchesOf(svg: string): number[][][] {
  const path = /stroke-linejoin="round" d="([^"]*)"/.exec(svg)?.[1] ?? ''
  const stretches = path.split('M').slice(1)
  return stretches.map((stretch) => stretch.split('L').map((point) => point.split(',').map(Number)))
}

const weather = fixture('seattle-weather.csv')
const lines = weather.trim().split('\n').slice(1)

for (const bins of [2, 10, 100]) {
  test(`counts every value into the right one of ${bins} bins`, async () => {
    // In whole tenths of a degree, so that no value falls to the wrong side of an edge.
    const tenths = lines.map((line) => Math.round(Number(line.split(',')[2]) * 10))
    const low = Math.min(...tenths)
    const span = Math.max(...tenths) - low
    const binOf = (tenth: number) => Math.min(bins - 1, Math.floor(((tenth - low) * bins) / span))
    const expected = Array.from({ length: bins }, (_, bin) => tenths.filter((tenth) => binOf(tenth) === bin).length)
    const bars = barsOf(await chart({ csv: weather, column: 'temp_max', bins }))
    const counts = bars.map(({ count }) => count)
    assert.equal(counts, expected)
  })
}

test('puts a decimal on an edge into the bin above, as its decimal digits say', async () => {
  const csv = 'x\n0\n0.1\n0.2\n0.3\n0.4\n0.5\n0.6\n0.7\n0.8\n0.9\n1'
  const bars = barsOf(await chart({ csv, column: 'x', bins: 10 }))
  const counts = bars.map(({ count }) => count)
  assert.equal(counts, [1, 1, 1, 1, 1, 1, 1, 1, 1, 2])
})

for (const column of ['precipitation', 'temp_max', 'temp_min', 'wind']) {
  test(`chooses bins for ${column} that hold every value, with bars as high as their counts`, async () => {
    const bars = barsOf(await chart({ csv: weather, column }))
    const total = bars.reduce((sum, { count }) => sum + count, 0)
    assert.is(total, 1461)
    const highest = bars.reduce((a, b) => (a.count > b.count ? a : b))
    for (const bar of bars) {
      assert.ok(Math.abs(bar.heightPx - (bar.count / highest.count) * highest.heightPx) < 0.02)
    }
  })
}

test('gives each of a few integers its own bar', async () => {
  const bars = barsOf(await chart({ csv: 'stars\n1\n2\n2\n3\n5\n5\n5\n', column: 'stars' }))
  assert.equal(
    bars.map(({ count }) => count),
    [1, 2, 1, 0, 3],
  )
})

for (const value of ['7', '0', '-0.1', '1e14', '123456789012']) {
  test(`draws a column that is always ${value}`, async () => {
    const csv = `x\n${value}\n${value}\n`
    const bars = barsOf(await chart({ csv, column: 'x' }))
    assert.is(Math.max(...bars.map(({ count }) => count)), 2)
    assert.is(stretchesOf(await chart({ csv, column: 'x', kind: 'line' })).flat().length, 2)
  })
}

test('draws one point per row if there is room', async () => {
  const [stretch = [], ...others] = stretchesOf(
    await chart({ csv: weather, column: 'wind', kind: 'line', widthPx: 1000 }),
  )
  assert.is(others.length, 0)
  assert.is(stretch.length, 1461)
  const winds = lines.map((line) => Number(line.split(',')[4]))
  const [top, bottom] = [Math.max(...winds), Math.min(...winds)]
  const [topPx, bottomPx] = [Math.min(...stretch.map(([, y = 0]) => y)), Math.max(...stretch.map(([, y = 0]) => y))]
  for (const [index, [, y = 0]] of stretch.entries()) {
    const expected = bottomPx - (((winds[index] ?? 0) - bottom) / (top - bottom)) * (bottomPx - topPx)
    assert.ok(Math.abs(y - expected) < 0.02)
  }
})

test('thins a long line out to two points a pixel without losing a peak', async () => {
  const values = Array.from({ length: 20_000 }, (_, row) => (row === 12_345 ? 1000 : row === 54 ? -1000 : row % 3))
  const svg = await chart({ csv: `v\n${values.join('\n')}`, column: 'v', kind: 'line', widthPx: 400 })
  const points = stretchesOf(svg).flat()
  assert.ok(points.length <= 800)
  const ys = points.map(([, y = 0]) => y)
  assert.is(ys.filter((y) => y === Math.min(...ys)).length, 1)
  assert.is(ys.filter((y) => y === Math.max(...ys)).length, 1)
  const xs = points.map(([x = 0]) => x)
  assert.equal(
    xs,
    xs.toSorted((a, b) => a - b),
  )
})

test('interrupts the line at missing numbers, and shows a single value as a dot', async () => {
  const svg = await chart({ csv: 'v,w\n1,a\n2,a\n,a\n3,a\nNA,a\n4,a\n5,a', column: 'v', kind: 'line', heightPx: 300 })
  assert.equal(
    stretchesOf(svg).map((stretch) => stretch.length),
    [2, 2],
  )
  assert.is(svg.match(/<circle /g)?.length, 5)
  assert.match(svg, '5 values, 2 rows without a number')
})

for (const kind of ['histogram', 'line'] as const) {
  test(`escapes what comes from the text into a ${kind}`, async () => {
    const column = '<script>alert("1")</script> & \u0000\uD800 more'
    const svg = await chart({ csv: `"${column.replaceAll('"', '""')}";b\n1;2\n3;4`, column, kind })
    assert.not.match(svg, '<script')
    assert.match(svg, '&lt;script&gt;')
  })

  for (const scale of [1e-300, 1e-9, 1e-3, 1, 1e3, 1e6, 1e9, 1e12, 1e20, 1e300]) {
    test(`labels a ${kind} of numbers around ${scale}`, async () => {
      const csv = `v\n${[-1, 0, 1.5, 2].map((value) => value * scale).join('\n')}`
      const svg = await chart({ csv, column: 'v', kind })
      const labels = [...svg.matchAll(/text-anchor="(end|middle)">([^<]+)</g)].map(
        ([, axis, label]) => `${axis} ${label}`,
      )
      assert.ok(labels.length >= 4)
      assert.is(new Set(labels).size, labels.length, 'the labels of an axis differ')
    })
  }
}

test('draws any numbers at any size, each in one bar and without two equal labels on an axis', async () => {
  const number = fc.oneof(
    fc.integer(),
    fc.integer({ min: 0, max: 9 }),
    fc.double({ noNaN: true, min: -1e300, max: 1e300 }),
  )
  const size = fc.constantFrom({ widthPx: 240, heightPx: 180 }, { widthPx: 900, heightPx: 600 })
  const bins = fc.option(fc.integer({ min: 2, max: 100 }), { nil: undefined })
  const property = fc.asyncProperty(
    fc.array(number, { minLength: 1, maxLength: 40 }),
    size,
    bins,
    async (values, pixels, count) => {
      const csv = `v\n${values.join('\n')}`
      const histogram = await chart({ csv, column: 'v', bins: count, ...pixels })
      assert.is(
        barsOf(histogram).reduce((sum, bar) => sum + bar.count, 0),
        values.length,
      )
      for (const svg of [histogram, await chart({ csv, column: 'v', kind: 'line', ...pixels })]) {
        const labels = [...svg.matchAll(/text-anchor="(?:end|middle)">[^<]+</g)].map(([label]) => label)
        assert.is(new Set(labels).size, labels.length)
      }
    },
  )
  await fc.assert(property, { numRuns: 60 })
})

test('skips cells that csv-profile treats as text', async () => {
  assert.match(await chart({ csv: 'zip\n02134\n10001\n', column: 'zip' }), '1 value, 1 row without a number')
})

test('finds the column despite BOM, CRLF, quotes and ragged rows', async () => {
  const csv = '\uFEFF" a ";b\r\n1;"x;\r\ny"\r\n2\r\n;5;6\r\n'
  assert.match(await chart({ csv, column: 'a' }), '2 values, 1 row without a number')
  assert.match(await chart({ csv: '\uFEFFa\n1', column: 'a' }), '1 value<')
})

test('names the columns if the requested one does not exist', async () => {
  const message = await refused(chart({ csv: weather, column: 'rain' }), 'unknown-column')
  for (const name of ['"rain"', '"date"', '"precipitation"', '"weather"']) assert.match(message, name)
  const many = Array.from({ length: 500 }, (_, index) => `column${index}`)
  assert.match(await refused(chart({ csv: many.join(','), column: 'x' }), 'unknown-column'), 'and 480 more')
})

test('refuses numbers that are too far apart, a column without numbers and a text without a header', async () => {
  await refused(chart({ csv: 'v\n-1e308\n1e308', column: 'v' }), 'range-too-wide')
  await refused(chart({ csv: weather, column: 'weather' }), 'column-not-numeric')
  await refused(chart({ csv: 'a,b', column: 'a' }), 'column-not-numeric')
  const texts = ['', '\n', ',,\n1,2,3', 'a\n"1']
  await Promise.all(texts.map((csv) => refused(chart({ csv, column: 'a' }), 'invalid-csv')))
})

test('has bounds on its input', () => {
  const { input } = csvChart
  const wrong = [{ bins: 1 }, { bins: 101 }, { widthPx: 10 }, { heightPx: 100_000 }, { kind: 'pie' }, { colour: 'red' }]
  for (const member of wrong) assert.not(input?.safeParse({ csv: 'a', column: 'a', ...member }).success)
  assert.ok(input?.safeParse({ csv: 'a', column: 'a' }).success)
})

test.run()
