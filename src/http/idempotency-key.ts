/** Reads the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a quoted string, or the key as it is. */
import { AppError } from '../domain/errors.ts'

const maxLength = 255
const quotedPattern = /^"(?<inner>(?:[ !#-[\]-~]|\\["\\])*)"$/
const barePattern = /^[!#-~][ !#-~]*$/

/**
 * @param values of the header, one per field line; undefined where it was not sent
 * @returns the key, 1 to 255 characters, without its quotes; null where none was sent
 * @throws AppError `idempotency-key-invalid`
 */
export function parseIdempotencyKey(values: readonly string[] | undefined): string | null {
  if (values === undefined || values.length === 0) return null
  if (values.length > 1) throw invalid('the header was sent more than once')
  const text = (values[0] ?? '').trim()
  const key = barePattern.test(text) ? text : unquote(text)
  if (key === undefined) throw invalid('it must be a quoted string, or printable ASCII without quotes around it')
  if (key.length === 0 || key.length > maxLength) throw invalid(`it has ${key.length} characters`)
  return key
}

/** A string of RFC 8941, 3.3.3. */
function unquote(text: string): string | undefined {
  return quotedPattern.exec(text)?.groups?.['inner']?.replaceAll(/\\(["\\])/g, '$1')
}

function invalid(detail: string): AppError {
  return new AppError('idempotency-key-invalid', `Idempotency-Key: ${detail}; 1 to ${maxLength} characters are a key`)
}
