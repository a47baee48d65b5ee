/**
 * Finds what JSON text says and its value does not: a member that another one of its name hides, and a number that
 * JavaScript has not. Its sender would not know that a task was given something else.
 */
import type { RequestIssue } from '../../domain/problem.ts'
import { pointerOf } from '../../tasks/input.ts'

/** What stands between a name and its value. Strings can hold it too, so there are at least as many as members. */
const nameEnd = '":'
/** The same with blanks, which hardly anybody writes. */
const blankNameEnd = /"\s+:/
/** A whole number of 16 digits, an exponent of three, or a fraction of many zeros; also within strings. */
const numberLike = /(?<![\d.])\d{16}|\d[eE][+-]?\d{3}|\.0{300}/
const number = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y

const maxIssues = 100
const maxShown = 40

/**
 * Whether it is worth to look; nearly always not, and found out quickly.
 * @param members of all objects in the text's value
 */
export function mayLose(text: string, members: number): boolean {
  return countNameEnds(text) > members || blankNameEnd.test(text) || numberLike.test(text)
}

function countNameEnds(text: string): number {
  let count = 0
  for (let at = text.indexOf(nameEnd); at !== -1; at = text.indexOf(nameEnd, at + 2)) count += 1
  return count
}

interface Level {
  /** null: an array. */
  readonly names: Set<string> | null
  key: string | number
  isNameNext: boolean
}

/** @param text that is JSON, nested no deeper than is allowed */
export function findLosses(text: string): RequestIssue[] {
  const issues: RequestIssue[] = []
  const levels: Level[] = []
  const note = (detail: string): void => {
    issues.push({ pointer: pointerOf(levels.map(({ key }) => key)), detail })
  }

  let at = 0
  while (at < text.length && issues.length < maxIssues) {
    const character = text[at]
    const level = levels.at(-1)
    if (character === '"') {
      const end = endOfString(text, at)
      if (level?.isNameNext === true) {
        level.key = nameOf(text.slice(at, end))
        level.isNameNext = false
        if (level.names?.has(level.key) === true) note('there is a member of this name before')
        level.names?.add(level.key)
      }
      at = end
      continue
    }
    number.lastIndex = at
    const literal = number.exec(text)?.[0]
    if (literal !== undefined) {
      const loss = lossOf(literal)
      if (loss !== null) note(loss)
      at += literal.length
      continue
    }
    if (character === '{') levels.push({ names: new Set(), key: '', isNameNext: true })
    else if (character === '[') levels.push({ names: null, key: 0, isNameNext: false })
    else if (character === '}' || character === ']') levels.pop()
    else if (character === ',' && level !== undefined) {
      level.isNameNext = level.names !== null
      if (typeof level.key === 'number') level.key += 1
    }
    at += 1
  }
  return issues
}

/** The place after its closing quote. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0
    while (text[end - 1 - backslashes] === '\\') backslashes += 1
    if (backslashes % 2 === 0) return end + 1
  }
  return text.length
}

function nameOf(quoted: string): string {
  return quoted.includes('\\') ? String(JSON.parse(quoted)) : quoted.slice(1, -1)
}

/** Decimals are rounded to what JavaScript has, which is their nature; whole numbers are not, for they may be ids. */
function lossOf(literal: string): string | null {
  const value = Number(literal)
  const shown = literal.length > maxShown ? `${literal.slice(0, maxShown)}…` : literal
  if (!Number.isFinite(value)) return `the number ${shown} is too large`
  if (value === 0) return /^-?[0.]*(?:[eE]|$)/.test(literal) ? null : `the number ${shown} is too small`
  // Its digits, whatever power of ten they are multiplied by.
  const whole = literal.replace(/(?:\.0+)?(?:[eE]\+?\d+)?$/, '')
  if (!/^-?\d+$/.test(whole)) return null
  const digits = Number(whole)
  if (Number.isSafeInteger(digits) || String(digits) === whole || BigInt(digits) === BigInt(whole)) return null
  return `the number ${shown} would become ${value}; send it as a string`
}
