/** What a client would like of an answer (RFC 7240). A wish that is unknown or malformed is as good as none. */

export interface Preferences {
  /** Rather be answered at once, without a result. */
  readonly respondAsync: boolean
  /** The longest time to wait, in seconds, 60 at the most; null: the service decides. */
  readonly waitS: number | null
  /** Rather have a short body. */
  readonly isMinimal: boolean
}

const maxWaitS = 60

const token = String.raw`[!#$%&'*+\-.^_\x60|~\w]+`
const quoted = String.raw`"(?:[^"\\]|\\.)*"`
/** A name, and a value that can be empty or missing; a parameter has the same form. */
const namedValue = new RegExp(`^(?<name>${token})(?:[ \\t]*=[ \\t]*(?<value>${token}|${quoted})?)?$`, 's')

/**
 * @param values of the header fields `Prefer`, one or several, each of them a list
 * @returns of a preference that is repeated the first one, whatever its value
 */
export function parsePrefer(values: string | readonly string[] | undefined): Preferences {
  const fields = values === undefined ? [] : [values].flat()
  const wanted = new Map<string, string>()
  for (const preference of fields.flatMap((field) => splitOutsideQuotes(field, ','))) {
    const [first, ...parameters] = splitOutsideQuotes(preference, ';').map((part) => part.trim())
    const match = namedValue.exec(first ?? '')
    const isWhole = parameters.every((parameter) => parameter === '' || namedValue.test(parameter))
    const name = match?.groups?.['name']?.toLowerCase()
    if (name !== undefined && isWhole && !wanted.has(name)) wanted.set(name, unquoted(match?.groups?.['value'] ?? ''))
  }
  return {
    respondAsync: wanted.get('respond-async') === '',
    waitS: secondsOf(wanted.get('wait')),
    isMinimal: wanted.get('return')?.toLowerCase() === 'minimal',
  }
}

/** @returns the value of `Preference-Applied` that names these; null where there is nothing to name */
export function appliedPrefer({ respondAsync, waitS, isMinimal }: Preferences): string | null {
  const applied = [
    ...(respondAsync ? ['respond-async'] : []),
    ...(waitS === null ? [] : [`wait=${waitS}`]),
    ...(isMinimal ? ['return=minimal'] : []),
  ]
  return applied.length === 0 ? null : applied.join(', ')
}

/** In one pass, however long the text and whatever its quotes; a quoted string that is not closed reaches to the end. */
function splitOutsideQuotes(text: string, separator: string): string[] {
  const parts: string[] = []
  let begin = 0
  let isQuoted = false
  for (let at = 0; at < text.length; at += 1) {
    if (isQuoted && text[at] === '\\') at += 1
    else if (text[at] === '"') isQuoted = !isQuoted
    else if (!isQuoted && text[at] === separator) {
      parts.push(text.slice(begin, at))
      begin = at + 1
    }
  }
  return [...parts, text.slice(begin)]
}

function unquoted(value: string): string {
  return value.startsWith('"') ? value.slice(1, -1).replaceAll(/\\(?<character>.)/gs, '$<character>') : value
}

function secondsOf(value: string | undefined): number | null {
  return value !== undefined && /^\d+$/.test(value) ? Math.min(Number(value), maxWaitS) : null
}
