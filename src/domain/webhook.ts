/** What a webhook is made of: an address and secrets. */

const maxUrlLength = 2_048
const secretPrefix = 'whsec_'

/** Whether something can be sent there at all; which addresses are refused is found out at every try. */
export function isWebhookUrl(text: string): boolean {
  if (text.length > maxUrlLength || !/^https?:\/\//i.test(text)) return false
  const url = URL.parse(text)
  // A request to port 0 would go to the port of the scheme.
  return url !== null && url.port !== '0' && isDecodable(url.username) && isDecodable(url.password)
}

/** A parser of addresses lets pass what no request can be made of. */
function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** As it is kept: in a form that every database takes. */
export function keptUrl(url: string): string {
  return /^[!-~]+$/.test(url) ? url : new URL(url).href
}

/** Without the user and the password that it may have. */
export function shownUrl(url: string): string {
  const shown = URL.parse(url)
  if (shown === null) return ''
  if (shown.username === '' && shown.password === '') return url
  shown.username = ''
  shown.password = ''
  return shown.href
}

export function isWebhookSecret(text: string): boolean {
  return /^whsec_(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?|[A-Za-z0-9+/]{4})$/.test(text)
}

/** The length of the key that the secret holds. */
export function secretBytes(secret: string): number {
  return keyOf(secret).length
}

/** The key of a secret that `isWebhookSecret`. */
export function keyOf(secret: string): Buffer {
  return Buffer.from(secret.slice(secretPrefix.length), 'base64')
}
