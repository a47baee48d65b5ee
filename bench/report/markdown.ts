/** Writes Markdown as the formatter does, and inserts it into a hand-written file. */

/** Columns are padded, so that the table is readable in a terminal too. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(3, ...[title, ...rows.map((row) => row[column] ?? '')].map(width)),
  )
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((most, column) => (cells[column] ?? '') + ' '.repeat(most - width(cells[column] ?? ''))).join(' | ')} |`
  const rule = `| ${widths.map((most) => '-'.repeat(most)).join(' | ')} |`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

function width(text: string): number {
  return text.length
}

const begin = '<!-- bench:begin -->'
const end = '<!-- bench:end -->'

/**
 * Replaces the text between the two markers by `generated`; everything else is kept.
 * @throws Error unless the text has each marker once, in order
 */
export function writeBetweenMarkers(text: string, generated: string): string {
  const [before, afterBegin, ...more] = text.split(begin)
  const [, after, ...evenMore] = (afterBegin ?? '').split(end)
  if (before === undefined || after === undefined || before.includes(end) || more.length + evenMore.length > 0) {
    throw new Error(`the text must have ${begin} and then ${end}, once each`)
  }
  return `${before}${begin}\n\n${generated.trim()}\n\n${end}${after}`
}
