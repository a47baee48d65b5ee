/** Entity tags (RFC 9110, 8.8.3): weak ones of runs, whose progress is not part of their version, and of texts as they are. */
import fresh from 'fresh'
import { hash } from 'node:crypto'

const digestLength = 22

export function entityTagOf(version: number): string {
  return `W/"${version}"`
}

export function tagOfText(text: string): string {
  return `"${hash('sha256', text, 'base64url').slice(0, digestLength)}"`
}

/**
 * Whether a client that sent this `If-None-Match` has what the tag stands for. Not `ctx.fresh`, which heeds the request's
 * `Cache-Control: no-cache`: every `fetch` with an `If-None-Match` of its caller's sends that
 * (https://fetch.spec.whatwg.org/#http-network-or-cache-fetch), and would never be answered with 304.
 * @param field empty where there is none
 */
export function isKnown(field: string, tag: string): boolean {
  return fresh({ 'if-none-match': field }, { etag: tag })
}
