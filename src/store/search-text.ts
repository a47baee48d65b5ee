/** Search, for both engines: the text of a run, the words of a text, and the words that a caller looks for. */
import type { JobError, JobFailure } from '../domain/job.ts'
import type { Apart, Run } from '../domain/run/aggregate.ts'
import { hasSecret, maskText, type SecretPart } from '../runtime/secret.ts'

/** Characters of one text that are indexed, and characters of a whole run. */
export const maxSearchText = 4_096
const maxRunText = 32_768
/** The page shows only the end of an id. */
const shortIdLength = 8

/** Reads texts of the run that are kept outside its record. */
export interface ApartTexts {
  text(jobIndex: number, apart: Apart): string
  /** The first `length` characters. */
  beginning(jobIndex: number, apart: Apart, length: number): string
}

/** Id, tags, tasks, errors, inputs and results, without secrets; cut where a text or the run is too long. */
export function searchText(run: Run, texts: ApartTexts): string {
  const parts = [run.id, run.id.slice(-shortIdLength), ...run.tags, ...new Set(run.jobs.map(({ task }) => task))]
  let room = maxRunText

  function add(text: string): void {
    parts.push(text.slice(0, Math.min(room, maxSearchText)))
    room -= Math.min(text.length, maxSearchText)
  }
  function whole<Value extends object>(jobIndex: number, value: Value | Apart): Value {
    // The record says what the text is.
    return 'part' in value ? (JSON.parse(texts.text(jobIndex, value)) as Value) : value
  }
  function addJson(jobIndex: number, value: string | Apart, secret: readonly string[] | null, part: SecretPart): void {
    if (hasSecret(secret, part)) {
      // Masks the whole text, because secrets are found by their path.
      const text = typeof value === 'string' ? value : texts.text(jobIndex, value)
      add(withoutEscapes(maskText(text, secret, part).slice(0, maxSearchText)))
      return
    }
    const isText = typeof value === 'string'
    add(withoutEscapes(isText ? value.slice(0, maxSearchText) : texts.beginning(jobIndex, value, maxSearchText)))
  }

  // Errors first, because people search large runs for their errors.
  for (const [index, { error, failures }] of run.jobs.entries()) {
    if (room <= 0) break
    // The error of a failed job repeats its last failure.
    if (error !== null && failures.length === 0) add(wordsOfError(whole<JobError>(index, error)))
    for (const failure of failures) add(wordsOfError(whole<JobFailure>(index, failure).error))
  }
  for (const [index, { input, result, secret }] of run.jobs.entries()) {
    if (room <= 0) break
    if (input !== null) addJson(index, input, secret, 'input')
    if (result !== null) addJson(index, result, secret, 'result')
  }
  return parts.join('\n')
}

function wordsOfError({ code, message, name, taskCode, status, cause }: JobError): string {
  return [code, name, taskCode, status, message, cause?.name, cause?.message].filter(Boolean).join(' ')
}

/** JSON text without its escapes: with them, `\nline` would be found as the word `nline`. */
function withoutEscapes(json: string): string {
  if (!json.includes('\\')) return json
  return json.replaceAll(/\\(?:u(?<hex>[\da-f]{4})|.)/gi, (_all, hex: string | undefined) => {
    const code = Number.parseInt(hex ?? '20', 16)
    return code < 0x20 ? ' ' : String.fromCharCode(code)
  })
}

// The words of a text: runs of letters and digits, without case and accents. They depend neither on the tokenizer of an
// engine nor on the locale of a database.

/** Longer words are cut; a caller cannot search for that many characters. */
const maxWordLength = 255
const asciiWord = /[\da-z]+/g
const word = /[\p{L}\p{N}][\p{L}\p{N}\u0300-\u036f]*/gu
const beyondAscii = /[\u0080-\uffff]/
const accents = /[\u0300-\u036f]+/g
/** Only Latin letters lose their accents: in other scripts a letter with a mark is another letter. */
const accentsOfLatin = /([a-z])[\u0300-\u036f]+/g
/** Variants of small letters, and the letters that they stand for. */
const variants = 'µſςϐϑϕϖϰϱϵ'
const letters = 'μsσβθφπκρε'
const variant = /[µſςϐϑϕϖϰϱϵ]/g

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
    .replaceAll(variant, (letter) => letters[variants.indexOf(letter)] ?? letter)
}

function cut(found: string): string {
  return found.length <= maxWordLength ? found : found.slice(0, maxWordLength).toWellFormed()
}

/** A word that a caller looks for. */
export interface SearchWord {
  readonly text: string
  /** Whether longer words that begin with it match, too. */
  readonly isPrefix: boolean
}

const maxWords = 16

/**
 * Parses `card declined` or `card decl*`. An asterisk after at least three letters or digits makes a word a prefix:
 * shorter prefixes would match too many words.
 * @returns an empty array for a text without letters and digits
 */
export function parseSearch(text: string): readonly SearchWord[] {
  return text
    .split(/\s+/)
    .filter((part) => /[\p{L}\p{N}]/u.test(part))
    .slice(0, maxWords)
    .map((part) => ({ text: part.replace(/\*$/, ''), isPrefix: /[\p{L}\p{N}]{3,}\*$/u.test(part) }))
}
