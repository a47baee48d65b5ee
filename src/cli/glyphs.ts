/** The characters that runs are drawn with: those of ASCII where the terminal shows no others. */

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

/** A locale that names another character set has none; one that is not set says nothing, as in most containers. */
export function glyphsOf({ TERM, LC_ALL, LC_CTYPE, LANG }: Readonly<Record<string, string | undefined>>): Glyphs {
  const locale = LC_ALL || LC_CTYPE || LANG || ''
  return TERM === 'linux' || TERM === 'dumb' || (locale !== '' && !/utf-?8/i.test(locale)) ? ascii : drawn
}
