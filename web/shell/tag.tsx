/** A tag as a link: to the runs that have it or, if it names the run that this one repeats, to that run. */
import { addressOf, shortIdOf } from './route.ts'

/** Prefix of the tag that names the repeated run. */
export const againTag = (runId: string): string => `again:${runId}`

/** @returns the id of the repeated run; null for any other tag */
export function againOf(tag: string): string | null {
  return /^again:([\da-f-]{36})$/.exec(tag)?.[1] ?? null
}

export function Tag({ tag }: { readonly tag: string }) {
  const again = againOf(tag)
  return (
    <a class="tag" href={addressOf(again === null ? { tag } : { run: again })}>
      {again === null ? tag : `↻ of …${shortIdOf(again)}`}
    </a>
  )
}
