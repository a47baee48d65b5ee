/** The text of a run that search finds it by: id, tags, tasks, errors, inputs and results, without what is beyond a bound. */
import type { JobError, JobFailure } from '../domain/job.ts'
import { hasSecret, maskText, type SecretPart } from '../runtime/secret.ts'
import type { Apart, Run } from '../domain/run/aggregate.ts'
import { isApart } from './apart.ts'

/** Characters of one text, and of all of a run. */
export const maxSearchText = 4_096
const maxRunText = 32_768
/** The page shows ids by their end. */
const shortIdLength = 8

/** Texts of the run that are kept apart. */
export interface ApartTexts {
  text(jobIndex: number, apart: Apart): string
  /** Its first characters. */
  beginning(jobIndex: number, apart: Apart, length: number): string
}

export function searchText(run: Run, texts: ApartTexts): string {
  const parts = [run.id, run.id.slice(-shortIdLength), ...run.tags, ...new Set(run.jobs.map(({ task }) => task))]
  let room = maxRunText

  function add(text: string): void {
    parts.push(text.slice(0, Math.min(room, maxSearchText)))
    room -= Math.min(text.length, maxSearchText)
  }
  function addError(index: number, error: JobError | Apart): void {
    add(wordsOfError(isApart(error) ? (JSON.parse(texts.text(index, error)) as JobError) : error))
  }
  function addFailure(index: number, failure: JobFailure | Apart): void {
    const { error } = isApart(failure) ? (JSON.parse(texts.text(index, failure)) as JobFailure) : failure
    add(wordsOfError(error))
  }
  function addJson(index: number, value: string | Apart, secret: readonly string[] | null, part: SecretPart): void {
    if (hasSecret(secret, part)) {
      // Whole: what is secret in it is found by its place.
      const text = isApart(value) ? texts.text(index, value) : value
      add(plainText(maskText(text, secret, part).slice(0, maxSearchText)))
      return
    }
    const json = isApart(value) ? texts.beginning(index, value, maxSearchText) : value.slice(0, maxSearchText)
    add(plainText(json))
  }

  // Errors first: of a large run they are what is looked for.
  for (const [index, { error, failures }] of run.jobs.entries()) {
    if (room <= 0) break
    // The error of a job that has failed is that of its last failure.
    if (error !== null && failures.length === 0) addError(index, error)
    for (const failure of failures) addFailure(index, failure)
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

/** JSON without its escapes: `\n` would make `nline` of a line. */
function plainText(json: string): string {
  if (!json.includes('\\')) return json
  return json.replaceAll(/\\(?:u(?<hex>[\da-f]{4})|.)/gi, (_all, hex: string | undefined) => {
    const code = Number.parseInt(hex ?? '20', 16)
    return code < 0x20 ? ' ' : String.fromCharCode(code)
  })
}
