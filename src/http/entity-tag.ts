/** Entity tags (RFC 9110, 8.8.3): weak ones of runs, whose progress is not part of their version, and of texts as they are. */
import { hash } from 'node:crypto'

/** One member of a list: opaque characters in quotes, without escapes, up to a comma or the end. */
const listed = /[ \t,]*(?:W\/)?(?<opaque>"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|$)/gy
const nothing = /^[ \t,]*$/

export function entityTagOf(version: number): string {
  return `W/"${version}"`
}

/** `any`: whatever there is (`*`). */
export type EntityTags = 'any' | ReadonlySet<string>

/**
 * Reads `If-None-Match` (RFC 9110, 13.1.2), which compares weakly: whether a tag is weak is not kept.
 * @param field empty where there is none
 * @returns no tags where the field has not the form of a list
 */
export function parseEntityTags(field: string): EntityTags {
  if (field.trim() === '*') return 'any'
  const tags = new Set<string>()
  const rest = field.replaceAll(listed, (_whole, opaque: string) => {
    tags.add(opaque)
    return ''
  })
  return nothing.test(rest) ? tags : new Set()
}

export function hasVersion(tags: EntityTags, version: number): boolean {
  return tags === 'any' || tags.has(`"${version}"`)
}

const digestLength = 24

export function tagOfText(text: string): string {
  return `"${hash('sha256', text).slice(0, digestLength)}"`
}

export function hasTag(tags: EntityTags, tag: string): boolean {
  return tags === 'any' || tags.has(tag)
}
