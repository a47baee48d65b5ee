/** The only writer to the terminal: results go to standard output, everything else to standard error. */
import { stripVTControlCharacters, styleText } from 'node:util'
import { writeJson } from '../domain/json.ts'

/** Exit codes of shells for a process that a signal ended: 128 and the signal's number. */
const signalCodes = { SIGINT: 130, SIGTERM: 143 } as const

export type Style = Parameters<typeof styleText>[0]

/** Turns text from a task or a caller into one line that cannot control the terminal. */
export function clean(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
}

/** Coloured if standard output is a terminal and `NO_COLOR` is not set. */
export function styled(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout })
}

/** Red if standard error is a terminal. */
export function asError(text: string): string {
  return styleText('red', text, { stream: process.stderr })
}

export function write(text: string): void {
  process.stdout.write(text)
}

export function print(text: string): void {
  write(`${text}\n`)
}

export function printJson(value: unknown): void {
  print(writeJson(value))
}

export function complain(text: string): void {
  process.stderr.write(`${text}\n`)
}

export function isTerminal(): boolean {
  return process.stdout.isTTY
}

/** Whether a person sees the output and can answer questions. */
export function isInteractive(): boolean {
  return process.stdin.isTTY && isTerminal()
}

/** Width of the terminal; Infinity if standard output is not a terminal. */
export function columns(): number {
  return isTerminal() ? process.stdout.columns || 80 : Infinity
}

/** Height of the terminal; Infinity if standard output is not a terminal. */
export function screenRows(): number {
  return isTerminal() ? process.stdout.rows || 24 : Infinity
}

/** @returns a function that removes the listener */
export function onResize(listener: () => void): () => void {
  process.stdout.on('resize', listener)
  return () => void process.stdout.off('resize', listener)
}

/** Lets a reader such as `head` close the pipe early without an error. */
export function allowClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit()
  })
}

/** Asks for consent. Ctrl-C means no. */
export async function confirm(question: string): Promise<boolean> {
  const { confirm: ask } = await import('@clack/prompts')
  return (await ask({ message: question, initialValue: false, output: process.stderr, withGuide: false })) === true
}

/** Shows a spinner while the work is under way, if standard error is a terminal. `say` replaces its text. */
export async function whileWorking<Result>(
  what: string,
  work: (say: (text: string) => void) => Promise<Result>,
): Promise<Result> {
  if (!process.stderr.isTTY) return work(() => {})
  const { spinner } = await import('@clack/prompts')
  const turning = spinner({ output: process.stderr, withGuide: false, cancelMessage: 'left by Ctrl-C' })
  // The spinner reads the keyboard, and at Ctrl-C it exits the process with code 0 instead of that of SIGINT.
  const onExit = (code: number): void => {
    if (code === 0) process.exitCode = signalCodes.SIGINT
  }
  process.once('exit', onExit)
  turning.start(what)
  try {
    return await work((text) => turning.message(text))
  } finally {
    process.off('exit', onExit)
    turning.clear()
  }
}

/** Turns SIGINT and SIGTERM into an exit with its `exit` listeners, which remove what the command has started. */
export function exitOnSignals(onSignal = (): void => {}): void {
  for (const [signal, code] of Object.entries(signalCodes)) {
    process.once(signal, () => {
      onSignal()
      process.exit(code)
    })
  }
}

/** @param rows each with as many cells as the heading; a line that is wider than the terminal is cut */
export function table(heading: readonly string[], rows: readonly (readonly string[])[], ellipsis: string): string {
  const widths = heading.map((title, at) => Math.max(widthOf(title), ...rows.map((row) => widthOf(row[at] ?? ''))))
  const textOf = (cells: readonly string[]): string => {
    const text = cells.map((cell, at) => pad(cell, widths[at] ?? 0)).join('  ')
    return cut(text.trimEnd(), columns(), ellipsis)
  }
  return [styled('dim', textOf(heading)), ...rows.map(textOf)].join('\n')
}

/** The characters that runs are drawn with. */
const unicode = {
  wait: '·',
  attempt: '━',
  failedAttempt: '×',
  lostStart: '↯',
  answer: '┃',
  /** Below the answer's column, if its text is to the right or to the left. */
  answerCornerRight: '┗',
  answerCornerLeft: '┛',
  reason: '└',
  barFull: '━',
  barEmpty: '─',
  ellipsis: '…',
}
export type Glyphs = Readonly<typeof unicode>

const ascii: Glyphs = {
  wait: '.',
  attempt: '=',
  failedAttempt: 'x',
  lostStart: '!',
  answer: '|',
  answerCornerRight: '`',
  answerCornerLeft: "'",
  reason: '`',
  barFull: '#',
  barEmpty: '-',
  ellipsis: '~',
}

/** ASCII on a simple terminal, or if the locale names another character set than UTF-8. Containers often set no locale. */
export function glyphsOf({ TERM, LC_ALL, LC_CTYPE, LANG }: Readonly<Record<string, string | undefined>>): Glyphs {
  const locale = LC_ALL || LC_CTYPE || LANG || ''
  return TERM === 'linux' || TERM === 'dumb' || (locale !== '' && !/utf-?8/i.test(locale)) ? ascii : unicode
}

/** Characters of two columns: the wide ones of East Asian scripts, and emoji (https://www.unicode.org/reports/tr11/, abridged). */
const wide =
  /^(?:\p{Emoji_Presentation}|[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}])/u
const zero = /^(?:\p{M}|\p{Cf})+$/u
const escapes = /(?<escape>\p{Cc}\[[\d;]*m)/u
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' })

interface Character {
  readonly text: string
  readonly width: number
  /** Whether it is an escape sequence, such as one for a colour. */
  readonly isEscape: boolean
}

function* charactersOf(text: string): Generator<Character, void, undefined> {
  // The parts include the escape sequences, because the pattern captures them.
  for (const part of text.split(escapes)) {
    if (escapes.test(part)) yield { text: part, width: 0, isEscape: true }
    else
      for (const { segment } of graphemes.segment(part))
        yield { text: segment, width: widthOfOne(segment), isEscape: false }
  }
}

function widthOfOne(grapheme: string): number {
  if (zero.test(grapheme)) return 0
  return wide.test(grapheme) || grapheme.includes('\uFE0F') ? 2 : 1
}

/** Columns that the text takes on a terminal. */
export function widthOf(text: string): number {
  const isPlain = /^[\x20-\x7E]*$/.test(text)
  if (isPlain) return text.length
  let width = 0
  for (const character of charactersOf(text)) width += character.width
  return width
}

/** Keeps every escape sequence, so that no colour continues after the end. */
export function cut(text: string, width: number, ellipsis: string): string {
  if (widthOf(text) <= width) return text
  let left = width - widthOf(ellipsis)
  let result = ''
  for (const character of charactersOf(text)) {
    const hasEllipsis = left < 0
    left -= character.width
    if (character.isEscape || left >= 0) result += character.text
    else if (!hasEllipsis) result += ellipsis
  }
  return result
}

export function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)))
}
