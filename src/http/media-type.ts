/** Reads `Content-Type` (RFC 9110, 8.3.1): a type and parameters, whose values can be quoted. */

/** A parameter; the standard knows no blanks around the equals sign. */
const parameter = /;[ \t]*(?:(?<name>[!#$%&'*+\-.^_`|~\w]+)=(?:"(?<quoted>(?:[^"\\]|\\.)*)"|(?<token>[^\s";,]*)))?/y
const jsonType = /^[ \t]*application\/json[ \t]*(?=;|$)/i

/** Whether a body of this type is JSON in UTF-8, by any of the charset's labels (https://encoding.spec.whatwg.org). */
export function isJsonInUtf8(contentType: string): boolean {
  const type = jsonType.exec(contentType)
  return type !== null && charsetsIn(contentType.slice(type[0].length)).every(isUtf8Label)
}

/** Parameters that are malformed are passed over, but for a charset: of two, both count. */
function charsetsIn(parameters: string): string[] {
  const charsets: string[] = []
  parameter.lastIndex = 0
  while (parameter.lastIndex < parameters.length) {
    const at = parameter.lastIndex
    const { name, quoted, token } = parameter.exec(parameters)?.groups ?? {}
    if (name?.toLowerCase() === 'charset') charsets.push(quoted?.replaceAll(/\\(.)/gs, '$1') ?? token ?? '')
    // Nothing to read here: on to the next semicolon.
    if (parameter.lastIndex <= at) {
      const next = parameters.indexOf(';', at + 1)
      parameter.lastIndex = next === -1 ? parameters.length : next
    }
  }
  return charsets
}

function isUtf8Label(label: string): boolean {
  try {
    return new TextDecoder(label).encoding === 'utf-8'
  } catch {
    return false
  }
}
