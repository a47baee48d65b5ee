/** What a caller looks for: words, as a text holds them separated by blanks. */

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
    .filter((word) => /[\p{L}\p{N}]/u.test(word))
    .slice(0, maxWords)
    .map((word) => ({
      text: word.replace(/\*$/, ''),
      isBeginning: new RegExp(`[\\p{L}\\p{N}]{${minBeginning},}\\*$`, 'u').test(word),
    }))
}
