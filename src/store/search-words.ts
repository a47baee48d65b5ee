/**
 * The words of a text, as both engines keep them and look for them: runs of letters and digits, without case and accents.
 * Neither the tokenizer of an engine nor the locale of a database has a say in them.
 */

/** More letters than a caller can look for. */
const maxLength = 255

const asciiWord = /[\da-z]+/g
const word = /[\p{L}\p{N}][\p{L}\p{N}\u0300-\u036f]*/gu
const beyondAscii = /[\u0080-\uffff]/
const accents = /[\u0300-\u036f]+/g
/** Of Latin letters alone: elsewhere a letter with a mark is another letter. */
const accentsOfLatin = /([a-z])[\u0300-\u036f]+/g
/** Small letters that have a second form. */
const forms: Readonly<Record<string, string>> = {
  µ: 'μ',
  ſ: 's',
  ς: 'σ',
  ϐ: 'β',
  ϑ: 'θ',
  ϕ: 'φ',
  ϖ: 'π',
  ϰ: 'κ',
  ϱ: 'ρ',
  ϵ: 'ε',
}
const secondForm = /[µſςϐϑϕϖϰϱϵ]/g

/** In the order of the text. */
export function wordsOf(text: string): string[] {
  const lower = text.toLowerCase()
  if (isAscii(lower)) return (lower.match(asciiWord) ?? []).map(cut)
  return (lower.normalize('NFC').match(word) ?? []).map((found) => cut(isAscii(found) ? found : withoutAccents(found)))
}

export function isAscii(text: string): boolean {
  return !beyondAscii.test(text)
}

function withoutAccents(found: string): string {
  return found
    .normalize('NFD')
    .replaceAll(accentsOfLatin, '$1')
    .normalize('NFC')
    .replaceAll(accents, '')
    .replaceAll(secondForm, (form) => forms[form] ?? form)
}

function cut(found: string): string {
  return found.length <= maxLength ? found : found.slice(0, maxLength).toWellFormed()
}

// What a caller looks for: words, as a text holds them separated by blanks.

export interface SearchWord {
  readonly text: string
  /** Whether longer words that begin with it are found as well. */
  readonly isBeginning: boolean
}

const maxWords = 16
/** Fewer letters are the beginning of too many words. */
const minBeginning = 3

/**
 * `card declined`, `card decl*`: a word with an asterisk behind at least three letters or digits finds all that begin so.
 * @returns none where the text has no letter and no digit
 */
export function parseSearch(text: string): readonly SearchWord[] {
  return text
    .split(/\s+/)
    .filter((part) => /[\p{L}\p{N}]/u.test(part))
    .slice(0, maxWords)
    .map((part) => ({
      text: part.replace(/\*$/, ''),
      isBeginning: new RegExp(`[\\p{L}\\p{N}]{${minBeginning},}\\*$`, 'u').test(part),
    }))
}
