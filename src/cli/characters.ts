/** The characters that runs are drawn with, and how many columns of a terminal a text takes. */

export interface Glyphs {
  readonly attempt: string
  readonly failedAttempt: string
  readonly wait: string
  readonly answer: string
  readonly answerFoot: readonly [toTheRight: string, toTheLeft: string]
  readonly because: string
  readonly full: string
  readonly empty: string
  readonly ellipsis: string
}

const drawn: Glyphs = {
  attempt: '━',
  failedAttempt: '×',
  wait: '·',
  answer: '┃',
  answerFoot: ['┗', '┛'],
  because: '└',
  full: '━',
  empty: '─',
  ellipsis: '…',
}

const ascii: Glyphs = {
  attempt: '=',
  failedAttempt: 'x',
  wait: '.',
  answer: '|',
  answerFoot: ['`', "'"],
  because: '`',
  full: '#',
  empty: '-',
  ellipsis: '~',
}

/** Those of ASCII where the terminal shows no others. A locale that names another character set has none; one that is not set says nothing, as in most containers. */
export function glyphsOf({ TERM, LC_ALL, LC_CTYPE, LANG }: Readonly<Record<string, string | undefined>>): Glyphs {
  const locale = LC_ALL || LC_CTYPE || LANG || ''
  return TERM === 'linux' || TERM === 'dumb' || (locale !== '' && !/utf-?8/i.test(locale)) ? ascii : drawn
}

/** Two columns: what East Asian scripts write wide, and emoji (https://www.unicode.org/reports/tr11/, abridged). */
const wide =
  /^(?:\p{Emoji_Presentation}|[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}])/u
const zero = /^(?:\p{M}|\p{Cf})+$/u
const escapes = /(?<escape>\p{Cc}\[[\d;]*m)/u
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

function widthOfCharacter(character: string): number {
  if (zero.test(character)) return 0
  return wide.test(character) || character.includes('\uFE0F') ? 2 : 1
}

export function widthOf(text: string): number {
  const isPlain = /^[\x20-\x7E]*$/.test(text)
  if (isPlain) return text.length
  let width = 0
  for (const part of text.split(escapes)) {
    if (escapes.test(part)) continue
    for (const { segment } of graphemes.segment(part)) width += widthOfCharacter(segment)
  }
  return width
}

/** Escape sequences have no width and are all kept, so that no colour goes on behind the end. */
export function cut(text: string, width: number, ellipsis: string): string {
  if (widthOf(text) <= width) return text
  let left = width - widthOf(ellipsis)
  let isFull = false
  let result = ''
  for (const part of text.split(escapes)) {
    if (escapes.test(part)) {
      result += part
      continue
    }
    for (const { segment } of graphemes.segment(part)) {
      if (isFull) break
      left -= widthOfCharacter(segment)
      isFull = left < 0
      result += isFull ? ellipsis : segment
    }
  }
  return result
}

export function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)))
}
