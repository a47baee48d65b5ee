/** A bar chart as SVG text, readable on a light and on a dark page. Pure: the same panels make the same text. */

export interface Bar {
  readonly label: string
  readonly value: number
  /** Smallest and largest of the rounds; drawn as a thin line. */
  readonly range: readonly [least: number, most: number]
  /** Whether it is the subject of the comparison. */
  readonly isSubject: boolean
}

/** Its bars share one scale from zero. */
export interface Panel {
  readonly title: string
  readonly bars: readonly Bar[]
  /** Digits of the value that is written next to a bar. */
  readonly digits: number
}

const width = 720
const labelWidth = 230
const valueWidth = 80
const barHeight = 16
const barGap = 8
const titleHeight = 34
const margin = 12
/** Distance from the middle of a line of text down to its baseline. */
const baseline = 5

const style = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 }
  .peer { fill: #8c959f }
  .subject { fill: #0969da }
  .range { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .peer { fill: #6e7681 }
    .subject { fill: #4493f8 }
    .range { stroke: #e6edf3 }
  }`

export function drawChart(panels: readonly Panel[]): string {
  const parts: string[] = []
  let top = margin
  for (const panel of panels) {
    parts.push(drawPanel(panel, top))
    top += heightOf(panel)
  }
  const name = panels.map(({ title }) => title).join('; ')
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top}" width="${width}" height="${top}" role="img">`,
    `<title>${escape(name)}</title>`,
    `<style>${style}\n</style>`,
    ...parts,
    '</svg>\n',
  ].join('\n')
}

function heightOf({ bars }: Panel): number {
  return titleHeight + bars.length * (barHeight + barGap) + margin
}

function drawPanel({ title, bars, digits }: Panel, top: number): string {
  const most = Math.max(...bars.map(({ range }) => range[1]), Number.MIN_VALUE)
  const scale = (value: number): number => round(((width - labelWidth - valueWidth) * value) / most)
  const rows = bars.map(({ label, value, range, isSubject }, index) => {
    const y = top + titleHeight + index * (barHeight + barGap)
    const middle = y + barHeight / 2
    const [from, to] = range.map((end) => labelWidth + scale(end))
    return [
      `<text x="${labelWidth - 10}" y="${middle + baseline}" text-anchor="end">${escape(label)}</text>`,
      `<rect class="${isSubject ? 'subject' : 'peer'}" x="${labelWidth}" y="${y}" width="${scale(value)}" height="${barHeight}" rx="2"/>`,
      `<line class="range" x1="${from}" y1="${middle}" x2="${to}" y2="${middle}"/>`,
      `<text x="${round(Math.max(labelWidth + scale(value), to ?? 0) + 8)}" y="${middle + baseline}">${written(value, digits)}</text>`,
    ].join('\n')
  })
  return [`<text class="title" x="${margin}" y="${top + 18}">${escape(title)}</text>`, ...rows].join('\n')
}

function written(value: number, digits: number): string {
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
