/** A tag as a link: to the runs that have it, or, where it names the run that this one runs again, to that run. */
import { addressOf, shortIdOf } from './route.ts'

/** The tag by which a run names the one that it runs again. */
export const againTag = (runId: string): string => `again:${runId}`

/** @returns the run that this tag names; null for any other tag */
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
