/** The only writer to the terminal: results on standard output, everything else on standard error. */
import { stripVTControlCharacters, styleText } from 'node:util'
import { writeJson } from '../domain/json.ts'

/** As shells have it: 128 and the number of SIGINT. */
const interrupted = 130

type Style = Parameters<typeof styleText>[0]

/** Text of tasks and callers as one line that cannot steer the terminal. */
export function clean(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ')
}

/** Coloured where standard output is a terminal, and NO_COLOR does not say otherwise. */
export function styled(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout })
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

/** Red where standard error is a terminal: what has ended the command. */
export function asError(text: string): string {
  return styleText('red', text, { stream: process.stderr })
}

/** Whether standard output is one. */
export function isTerminal(): boolean {
  return process.stdout.isTTY
}

/** Whether somebody sees it, and can be asked. */
export function isInteractive(): boolean {
  return process.stdin.isTTY && process.stdout.isTTY
}

/** Of the terminal; what is not one has no end. */
export function columns(): number {
  return process.stdout.isTTY ? process.stdout.columns || 80 : Infinity
}

/** @returns ends it */
export function onResize(listener: () => void): () => void {
  process.stdout.on('resize', listener)
  return () => void process.stdout.off('resize', listener)
}

export function screenRows(): number {
  return process.stdout.isTTY ? process.stdout.rows || 24 : Infinity
}

/** A reader that wants no more, such as `head`, is no error. */
export function allowClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit()
  })
}

/** @returns false also where the question is left by Ctrl-C */
export async function confirm(question: string): Promise<boolean> {
  const { confirm: ask } = await import('@clack/prompts')
  return (await ask({ message: question, initialValue: false, output: process.stderr, withGuide: false })) === true
}

/** Shows that something is under way, on a terminal. `say` replaces the text. */
export async function whileWorking<Result>(
  what: string,
  work: (say: (text: string) => void) => Promise<Result>,
): Promise<Result> {
  if (!process.stderr.isTTY) return work(() => {})
  const { spinner } = await import('@clack/prompts')
  const turning = spinner({ output: process.stderr, withGuide: false, cancelMessage: 'left by Ctrl-C' })
  // The spinner takes the keyboard, and ends the process with 0 at Ctrl-C.
  const onExit = (code: number): void => {
    if (code === 0) process.exitCode = interrupted
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

/** Ends the process with a signal in such a way that what it has begun is removed. */
export function endWithSignals(onSignal = (): void => {}): void {
  for (const [signal, code] of [
    ['SIGINT', interrupted],
    ['SIGTERM', 143],
  ] as const) {
    process.once(signal, () => {
      onSignal()
      process.exit(code)
    })
  }
}

/** All of standard input. */
export async function readInput(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** @param rows each with as many cells as the heading; what is wider than the terminal ends in an ellipsis */
export function table(heading: readonly string[], rows: readonly (readonly string[])[], ellipsis: string): string {
  const widths = heading.map((title, at) => Math.max(widthOf(title), ...rows.map((row) => widthOf(row[at] ?? ''))))
  const line = (cells: readonly string[]): string => {
    const text = cells.map((cell, at) => pad(cell, widths[at] ?? 0)).join('  ')
    return cut(text.trimEnd(), columns(), ellipsis)
  }
  return [styled('dim', line(heading)), ...rows.map(line)].join('\n')
}

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
