/** What a run of the bench writes, and what it must not touch. */
import { test } from 'uvu'
import { is, match, not, throws } from 'uvu/assert'
import { drawChart } from '../../bench/report/chart.ts'
import { table, writeBetweenMarkers } from '../../bench/report/markdown.ts'

const begin = '<!-- bench:begin -->'
const end = '<!-- bench:end -->'

test('keeps the text around the markers, and replaces the text between them', () => {
  const once = writeBetweenMarkers(`# Title\n\n${begin}\nold\n${end}\n\nafter\n`, 'new\n')
  is(once, `# Title\n\n${begin}\n\nnew\n\n${end}\n\nafter\n`)
  is(writeBetweenMarkers(once, 'new'), once)
  // Patterns of String.replace are text here.
  is(
    writeBetweenMarkers(once, '$& $1'),
    once.replace('new', () => '$& $1'),
  )
})

for (const [what, text] of Object.entries({
  'no marker': 'text',
  'no end': `a ${begin} b`,
  'the wrong order': `${end} a ${begin}`,
  'a second begin': `${begin} ${begin} ${end}`,
  'a second end': `${begin} ${end} ${end}`,
})) {
  test(`a text with ${what} is refused`, () => {
    throws(() => writeBetweenMarkers(text, 'new'))
  })
}

test('columns are as wide as their content', () => {
  is(table(['', 'b'], [['long', '1']]), '|      | b   |\n| ---- | --- |\n| long | 1   |')
})

test('a bar is as long as its share of the longest range', () => {
  const peer = { label: 'A & <B>', value: 50, range: [40, 60], isSubject: false } as const
  const subject = { label: 'us', value: 100, range: [80, 200], isSubject: true } as const
  const svg = drawChart([{ title: 'runs', bars: [peer, subject], digits: 0 }])
  const widths = [...svg.matchAll(/<rect [^>]*width="(?<width>[\d.]+)"/g)].map((found) =>
    Number(found.groups?.['width']),
  )
  is(widths.length, 2)
  is((widths[1] ?? 0) / (widths[0] ?? 0), 2)
  match(svg, 'A &amp; &lt;B&gt;')
  match(svg, 'prefers-color-scheme: dark')
  not.match(svg, 'NaN')
})

test.run()
